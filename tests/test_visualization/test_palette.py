"""Classes have distinct colours."""

from itertools import combinations

import cv2
import numpy as np

from swin_dense.visualization.palette import class_colour, readable_on


def test_the_first_hundred_colours_differ():
    colours = [class_colour(label) for label in range(100)]
    assert len(set(colours)) == 100
    assert all(0 <= channel <= 255 for c in colours for channel in c)


def test_the_first_colours_are_far_apart():
    colours = np.float32([[class_colour(label) for label in range(24)]])
    (lab,) = cv2.cvtColor(colours / 255, cv2.COLOR_BGR2Lab)
    assert min(np.linalg.norm(a - b) for a, b in combinations(lab, 2)) > 25


def test_a_colour_depends_on_the_label_alone():
    assert class_colour(0) == (0xFF, 0x9B, 0x1E)  # BGR
    assert class_colour(40) == class_colour(40)


def test_text_is_dark_on_light_and_light_on_dark():
    assert max(readable_on((200, 255, 255))) < 50
    assert readable_on((120, 30, 40)) == (255, 255, 255)
