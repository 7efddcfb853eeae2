"""Objects of generated clips keep their ids from frame to frame."""

import json

import numpy as np
import pytest

pytest.importorskip('trackers', reason='it follows the objects')

from helpers.command_line import CONFIG, error_of, run
from helpers.saved_models import save_model
from swin_dense.data.video_writer import write_video
from swin_dense.detection import object_tracks
from swin_dense.detection.dataset_ids import DatasetIds
from swin_dense.detection.object_tracks import ObjectTracker
from swin_dense.detection.result import DetectionResult
from swin_dense.detection.write_predictions import CocoResults
from swin_dense.engine.predict_videos import predict_video
from swin_dense.visualization.instances import InstanceArrays
from swin_dense.visualization.palette import instance_colour

CLASSES = ('disc', 'square', 'triangle')
SIDE, WIDTH, HEIGHT = 16, 128, 96
# Colour of each object in BGR, by which its id is checked.
BLUE, GREEN, RED = (250, 0, 0), (0, 250, 0), (0, 0, 250)


def paint(frames, colour, start, step, visible=None):
    """Move a square through a clip (T, H, W, 3); return its corners."""
    for index, frame in enumerate(frames):
        if visible is None or index in visible:
            x, y = np.round(np.add(start, np.multiply(step, index))).astype(
                int
            )
            frame[max(y, 0) : y + SIDE, max(x, 0) : x + SIDE] = colour


class ColourDetector:
    """Finds the squares of a frame by their colours, the redder the surer."""

    scores = {BLUE: 0.6, GREEN: 0.7, RED: 0.8}

    def predict_batch(self, images):
        return [self.detect(image) for image in images]

    def detect(self, image):
        found = []
        for colour, score in self.scores.items():
            near = np.abs(image.astype(int) - colour).max(axis=2) < 60
            rows, columns = np.nonzero(near)
            if len(rows) > 8:
                x0, y0 = columns.min(), rows.min()
                box = (x0, y0, columns.max() + 1, rows.max() + 1)
                found.append((box, score, near))
        boxes, scores, masks = zip(*found) if found else ((), (), ())
        return DetectionResult(
            image,
            InstanceArrays(
                np.array(boxes, float).reshape(-1, 4),
                np.ones(len(boxes), int),
                np.array(scores, float),
                np.array(masks, bool).reshape(-1, *image.shape[:2]),
            ),
            CLASSES,
        )


def blank(frames):
    return np.full((frames, HEIGHT, WIDTH, 3), 30, np.uint8)


def ids_of(results, colour):
    """Return the id of a square in each frame; 0 where it is not found."""
    ids = []
    for result in results:
        middles = result.boxes.reshape(-1, 2, 2).mean(axis=1).astype(int)
        ids.append(0)
        for (x, y), number in zip(middles, result.track_ids):
            if np.abs(result.image[y, x].astype(int) - colour).max() < 60:
                ids[-1] = int(number)
    return ids


def follow(clip, fps=10.0, detector=None):
    tracker = ObjectTracker(fps)
    detector = detector or ColourDetector()
    return [tracker.update(detector.detect(frame)) for frame in clip]


def test_ids_are_constant_while_objects_pass_each_other():
    clip = blank(20)
    paint(clip, BLUE, (4, 10), (5, 0))
    paint(clip, GREEN, (105, 22), (-5, 0))  # passes the blue square
    paint(clip, RED, (10, 60), (3, 0.5), visible={*range(20)} - {8, 9})
    results = follow(clip)
    # An object has its id from its second frame on.
    assert ids_of(results, RED) == [-1, *[1] * 7, 0, 0, *[1] * 10]
    assert ids_of(results, GREEN) == [-1, *[2] * 19]
    assert ids_of(results, BLUE) == [-1, *[3] * 19]


def test_an_object_that_leaves_and_another_that_enters():
    clip = blank(30)
    paint(clip, RED, (40, 60), (1, 0))
    paint(clip, BLUE, (90, 10), (6, 0), visible=range(6))  # leaves
    paint(clip, BLUE, (-160, 12), (8, 0), visible=range(20, 30))  # enters
    results = follow(clip)
    assert set(ids_of(results, RED)[1:]) == {1}
    assert ids_of(results, BLUE)[1:6] == [2] * 5
    assert ids_of(results, BLUE)[6:20] == [0] * 14
    assert ids_of(results, BLUE)[20:] == [-1, *[3] * 9]


def test_a_weak_detection_continues_a_track_but_begins_none():
    class Weak(ColourDetector):
        scores = {RED: 0.8}

        def detect(self, image):
            self.scores = {RED: 0.8 if image[0, 0, 0] else 0.2}
            return super().detect(image)

    clip = blank(6)
    paint(clip, RED, (40, 40), (1, 0))
    clip[3:, 0, 0] = 0
    results = follow(clip, detector=Weak())
    assert ids_of(results, RED) == [-1, 1, 1, 1, 1, 1]
    assert ids_of(follow(clip[3:], detector=Weak()), RED) == [-1] * 3
    assert (results[3].picture() != results[3].image).any()
    assert results[3].keep(0.3).track_ids.tolist() == []


def test_classes_are_followed_apart():
    image = blank(1)[0]

    def result(*labels):
        return DetectionResult(
            image,
            InstanceArrays(
                np.array([[10.0, 10, 40, 40]] * len(labels)),
                np.array(labels),
                np.linspace(0.9, 0.8, len(labels)),
                None,
            ),
            CLASSES,
        )

    tracker = ObjectTracker(10)
    tracker.update(result(0, 2))
    assert tracker.update(result(0, 2)).track_ids.tolist() == [1, 2]
    assert tracker.update(result(2, 0)).track_ids.tolist() == [2, 1]
    assert tracker.update(result(1)).track_ids.tolist() == [-1]
    assert tracker.update(result()).track_ids.tolist() == []


def test_colours_ids_and_masks_in_pictures_and_json(tmp_path):
    clip = blank(8)
    paint(clip, RED, (10, 20), (4, 0))
    paint(clip, GREEN, (100, 60), (-4, 0))
    write_video(tmp_path / 'clip.mp4', clip[..., ::-1], 10.0)
    drawn = []

    class Writer(CocoResults):
        def draw_frame(self, result):
            drawn.append((result, super().draw_frame(result)))
            return drawn[-1][1]

    writer = Writer(
        tmp_path / 'out',
        [],
        CLASSES,
        0.3,
        DatasetIds(None, {}),
        frame_colour_by='instance',
    )
    path = tmp_path / 'out' / 'clip.mp4'
    count, problem = predict_video(
        ColourDetector(),
        writer,
        str(tmp_path / 'clip.mp4'),
        path,
        batch_size=3,
        make_tracker=ObjectTracker,
    )
    assert (count, problem) == (8, None)
    lines = path.with_suffix('.jsonl').read_text().splitlines()
    entries = [json.loads(line)['instances'] for line in lines]
    numbers = [[e['track_id'] for e in frame] for frame in entries]
    assert numbers == [[None, None], *[[1, 2]] * 7]
    assert all('segmentation' in e for frame in entries for e in frame)
    for result, picture in drawn[1:]:
        for box, number in zip(result.boxes.astype(int), result.track_ids):
            # A box is drawn in the colour of its id.
            corner = picture[box[3], box[0]]
            assert tuple(corner) == instance_colour(number - 1)


def test_the_command_line(tmp_path, capsys, monkeypatch):
    clip = blank(3)
    write_video(tmp_path / 'clip.mp4', clip, 10.0)
    weights = save_model(CONFIG, tmp_path / 'weights.pth', CLASSES)
    args = ('predict', CONFIG, weights, tmp_path / 'clip.mp4', '--track')
    args = (*args, '--out', tmp_path / 'out')
    assert run(*args, '--score-thr', 0) == 0
    lines = (tmp_path / 'out' / 'clip.jsonl').read_text().splitlines()
    numbers = [e['track_id'] for e in json.loads(lines[2])['instances']]
    assert 1 in numbers
    capsys.readouterr()
    photo = tmp_path / 'photo.jpg'
    photo.write_bytes(b'')
    status = run(*args[:3], photo, *args[4:])
    error = error_of(capsys, status)
    assert f'follows objects in videos, and {photo} leads to none' in error
    monkeypatch.setattr(object_tracks, 'find_spec', lambda name: None)
    error = error_of(capsys, run(*args))
    assert "pip install 'swin_dense[track]'" in error


def test_python_yields_frame_by_frame(tmp_path):
    import swin_dense

    write_video(tmp_path / 'clip.mp4', blank(4), 10.0)
    weights = save_model(CONFIG, tmp_path / 'weights.pth', CLASSES)
    model = swin_dense.load(CONFIG, weights, device='cpu')
    results = list(model.track(tmp_path / 'clip.mp4', 0.0, max_frames=3))
    assert len(results) == 3
    assert results[2].track_ids.max() >= 1
    assert results[0].path == str(tmp_path / 'clip.mp4')
