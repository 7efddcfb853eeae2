from swin_dense.visualization.palette import class_colour, readable_on


def test_the_first_hundred_classes_have_colours_of_their_own():
    colours = [class_colour(label) for label in range(100)]
    assert len(set(colours)) == 100
    assert all(0 <= channel <= 255 for c in colours for channel in c)


def test_a_colour_depends_on_the_label_alone():
    assert class_colour(0) == (0xff, 0x9b, 0x1e)  # blue first
    assert class_colour(40) == class_colour(40)


def test_text_is_dark_on_light_and_light_on_dark():
    assert max(readable_on((200, 255, 255))) < 50
    assert readable_on((120, 30, 40)) == (255, 255, 255)
