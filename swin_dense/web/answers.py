"""Answer what the page asks of a model: pictures, tables and files.

Nothing here knows the page. Each answer has a folder of its own, and the
oldest folders are deleted.
"""

import itertools
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np

from swin_dense.analysis.attention_maps import count_blocks, find_pyramid
from swin_dense.analysis.explain import (
    explain_attention,
    explain_clip,
    explain_clip_attention,
    explain_detection,
    explain_segmentation,
    find_label,
)
from swin_dense.analysis.explain_files import (
    write_image_map,
    write_video_maps,
)
from swin_dense.data.image_checks import image_size
from swin_dense.detection.object_tracks import (
    ObjectTracker,
    check_installed,
)
from swin_dense.detection.result import DetectionResult
from swin_dense.engine import cli
from swin_dense.engine.predict_videos import MakeTracker, predict_video
from swin_dense.segmentation.result import SegmentationResult
from swin_dense.video.result import VideoResult
from swin_dense.wording import counted

# Longest side of a picture in pixels; larger images are reduced.
LARGEST = 2048
# Answers whose files are kept.
KEPT = 32
# Called with the number of finished steps, and of all or 0 if unknown.
OnStep = Callable[[int, int], None]


@dataclass
class Answer:
    """What the page shows.

    Attributes:
        text: A sentence.
        picture: A picture; None for none.
        clip: A video; None for none.
        rows: Rows of a table; see `Answers.columns`.
        scores: Scores of the most probable classes of a video, by name.
        files: Files to download.
    """

    text: str
    picture: Path | None = None
    clip: Path | None = None
    rows: list[list[Any]] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


class Answers(ABC):
    """A model that answers, one question at a time.

    Args:
        predictor: The model, as `swin_dense.load` returns it.
        folder: Folder for the files of answers.

    Attributes:
        classes: Class names in label order.
        columns: Names of the columns of a table.
    """

    columns: Sequence[str]

    def __init__(self, predictor: Any, folder: Path) -> None:
        self.predictor = predictor
        self.classes: list[str] = predictor.classes
        self._folder = folder
        self._folders: deque[Path] = deque()
        self._lock = Lock()
        self._last: tuple[Any, Any] = (None, None)

    @abstractmethod
    def answer_video(
        self,
        path: str,
        most: int = 0,
        on_step: OnStep = lambda *_: None,
        **options: Any,
    ) -> Answer:
        """Predict a video; write it with the predictions, and JSON.

        Args:
            path: File of the video.
            most: Largest number of frames; 0 for all.
            on_step: Called after each frame.
            options: See `prepare` and `draw`.

        Raises:
            ImportError: If PyAV, which writes videos, is not installed.
            ValueError: If the file cannot be read as a video, or an option is
                out of range.
        """

    def prepare(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Set the options of the model.

        Returns:
            The values of these options, and the other options, which are for
            drawing.
        """
        return None, options

    @abstractmethod
    def draw(self, result: Any, folder: Path) -> Answer:
        """Write the files of a result into a folder."""

    @property
    def blocks(self) -> list[str]:
        """Blocks whose attention can be shown, as STAGE.BLOCK."""
        backbone = self.predictor.model.backbone
        try:
            depths = count_blocks(find_pyramid(backbone))
        except ValueError:  # a backbone of a host
            return []
        return [
            f'{stage}.{block}'
            for stage, depth in enumerate(depths)
            for block in range(depth)
        ]

    def explain(
        self,
        path: str,
        block: str | None = None,
        class_name: str | None = None,
        **options: Any,
    ) -> Answer:
        """Show what the model looks at; write a picture and arrays.

        Args:
            path: File of the image or video.
            block: Block whose attention is shown, see `blocks`; None for the
                class activation.
            class_name: Class of the activation; None for that of the result.
            options: `at`, the pixel x, y in an image; `detection`, the number
                of a detection from 0.

        Raises:
            ValueError: If the file cannot be read, or there is no such class,
                pixel, block or detection.
        """
        with self._timed() as seconds:
            picture = self._new_folder() / f'{Path(path).stem}_explained.png'
            if block is None:
                if class_name is not None:
                    options['label'] = find_label(self.classes, class_name)
                line = self.write_activation(path, picture, **options)
            else:
                stage, number = map(int, block.split('.'))
                line = self.write_attention(
                    path, picture, stage, number, **options
                )
            answer = Answer(f'{line} ({seconds():.1f} s)', picture)
        clip, arrays = (picture.with_suffix(end) for end in ('.mp4', '.npz'))
        if clip.exists():
            answer.clip = clip
        answer.files = [
            file for file in (picture, clip, arrays) if file.exists()
        ]
        return answer

    @abstractmethod
    def write_activation(
        self, path: str, picture: Path, **options: Any
    ) -> str:
        """Write a class activation; return a line about it."""

    @abstractmethod
    def write_attention(
        self, path: str, picture: Path, stage: int, block: int, **options: Any
    ) -> str:
        """Write the attention of a block; return a line about it."""

    def _answer(
        self, path: str, on_step: OnStep, options: dict[str, Any]
    ) -> Answer:
        """Predict a file as a whole.

        A second answer about a file with other options of drawing does not
        run the model again.
        """
        with self._timed() as seconds:
            *key, drawing = path, *self.prepare(**options)
            if key != self._last[0]:
                result = self._predict(path, on_step)
                result.path = Path(path).name
                self._last = key, result
            answer = self.draw(self._last[1], self._new_folder(), **drawing)
            answer.text += f' ({seconds():.1f} s)'
        return answer

    def _predict(self, path: str, on_step: OnStep) -> Any:
        """Return the result for a file."""
        return self.predictor(path)

    def _new_folder(self) -> Path:
        """Return a new folder; delete the oldest if there are many."""
        self._folders.append(Path(tempfile.mkdtemp(dir=self._folder)))
        if len(self._folders) > KEPT:
            shutil.rmtree(self._folders.popleft(), ignore_errors=True)
        return self._folders[-1]

    @contextmanager
    def _timed(self) -> Iterator[Callable[[], float]]:
        """Reserve the model; yield a function that returns the seconds."""
        with self._lock:
            start = time.monotonic()
            yield lambda: time.monotonic() - start


class ImageAnswers(Answers):
    """A model for images that answers; see `Answers`."""

    def answer_image(
        self,
        path: str,
        on_step: OnStep = lambda *_: None,
        **options: Any,
    ) -> Answer:
        """Predict an image; write a picture and JSON.

        Args:
            path: File of the image.
            on_step: Called after each tile.
            options: See `prepare` and `draw`.

        Raises:
            ValueError: If the file cannot be read as an image, or an option
                is out of range.
        """
        return self._answer(path, on_step, options)

    def answer_video(
        self,
        path: str,
        most: int = 0,
        on_step: OnStep = lambda *_: None,
        track: bool = False,
        **options: Any,
    ) -> Answer:
        """Predict a video frame by frame; see `Answers.answer_video`.

        Args:
            path: See `Answers.answer_video`, as the other arguments.
            most: See there.
            on_step: See there.
            track: If True, objects are followed and have ids.
            options: See there.
        """
        if most < 0:
            raise ValueError(
                f'the number of frames must be 0 (all) or more, got {most}'
            )
        with self._timed() as seconds:
            _, drawing = self.prepare(**options)
            clip = self._new_folder() / f'{Path(path).stem}.mp4'
            writer = SimpleNamespace(
                draw_frame=partial(self.draw_frame, **drawing),
                frame_entry=partial(self.frame_entry, **drawing),
            )
            count, problem = predict_video(
                self.predictor,
                writer,
                path,
                clip,
                most=most or None,
                make_tracker=self.make_tracker(**drawing) if track else None,
                on_frame=on_step,
            )
            text = f'{counted(count, "frame")} ({seconds():.1f} s)'
        files = [clip, clip.with_suffix('.jsonl')]
        return Answer(problem or text, clip=clip, files=files)

    # Function that explains an image.
    find_activation: Callable[..., Any]

    def write_activation(
        self, path: str, picture: Path, **options: Any
    ) -> str:
        """Write a class activation; see `Answers.write_activation`."""
        found = type(self).find_activation(self.predictor, path, **options)
        return write_image_map(found, picture, self.classes)

    def write_attention(
        self,
        path: str,
        picture: Path,
        stage: int,
        block: int,
        at: tuple[float, float] | None = None,
        **options: Any,
    ) -> str:
        """Write the attention of a block; see `Answers.write_attention`."""
        found = explain_attention(self.predictor, path, stage, block, at)
        return write_image_map(found, picture, self.classes)

    def make_tracker(self, **drawing: Any) -> MakeTracker | None:
        """Return what follows objects with options of drawing, or None."""
        return None

    @abstractmethod
    def draw_frame(self, result: Any) -> np.ndarray:
        """Return the picture (height, width, 3) in BGR of a frame."""

    @abstractmethod
    def frame_entry(self, result: Any) -> dict[str, Any]:
        """Return the content of a frame for a line of JSON."""


class DetectionAnswers(ImageAnswers):
    """A detector that answers; see `Answers`."""

    columns = ('class', 'score', 'x0', 'y0', 'x1', 'y1')
    find_activation = explain_detection

    @property
    def has_masks(self) -> bool:
        """True if the model predicts masks."""
        modules = self.predictor.model.named_modules()
        return any('mask_head' in name for name, _ in modules)

    def draw(
        self,
        result: DetectionResult,
        folder: Path,
        score_thr: float = 0.3,
        classes: Sequence[str] = (),
        **drawing: Any,
    ) -> Answer:
        """Write a picture, and the instances of all scores as JSON.

        Args:
            result: The result.
            folder: Folder for the files.
            score_thr: Least score of an instance that is drawn and listed.
            classes: Names of classes to keep; none for all.
            drawing: See `DetectionResult.picture`.
        """
        result = result.keep(classes=classes or None)
        name = Path(result.path or 'image').stem
        picture = result.save(
            folder / f'{name}.jpg',
            score_thr=score_thr,
            largest=LARGEST,
            **drawing,
        )
        content = result.save(folder / f'{name}.json')
        shown = result.keep(score_thr)
        rows = [
            [name, round(float(score), 3), *np.round(box, 1).tolist()]
            for name, score, box in zip(shown.names, shown.scores, shown.boxes)
        ]
        text = (
            f'{counted(len(shown), "instance")} with a score of '
            f'{score_thr:g} or more; {len(result)} of all scores in the JSON '
            'file'
        )
        return Answer(text, picture, rows=rows, files=[picture, content])

    def draw_frame(
        self,
        result: DetectionResult,
        score_thr: float = 0.3,
        classes: Sequence[str] = (),
        **drawing: Any,
    ) -> np.ndarray:
        """Return the picture (height, width, 3) in BGR of a frame."""
        return result.keep(classes=classes or None).picture(
            score_thr, largest=LARGEST, **drawing
        )

    def make_tracker(
        self, score_thr: float = 0.3, **drawing: Any
    ) -> MakeTracker:
        """Return what follows objects; see `ImageAnswers.make_tracker`.

        Raises:
            ValueError: If the package trackers is not installed.
        """
        check_installed()
        return partial(ObjectTracker, score_thr=score_thr)

    def frame_entry(
        self,
        result: DetectionResult,
        classes: Sequence[str] = (),
        **drawing: Any,
    ) -> dict[str, Any]:
        """Return the instances of a frame for a line of JSON."""
        instances = result.keep(classes=classes or None).to_coco()
        for entry in instances:
            del entry['image_id'], entry['file_name']
        return {'instances': instances}


class SegmentationAnswers(ImageAnswers):
    """A segmentor that answers; see `Answers`."""

    columns = ('class', 'pixels', 'share')
    find_activation = explain_segmentation

    def prepare(
        self, tile: int = 0, overlap: float = 0.25, **drawing: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Set the tiles of the model; see `Answers.prepare`.

        Args:
            tile: Side of tiles in pixels; 0 predicts an image as a whole.
            overlap: Least overlap of tiles, as a share of their side.
            drawing: Other options.

        Raises:
            ValueError: If tile or overlap is out of range.
        """
        self.predictor.set_tiles((tile, tile) if tile else None, overlap)
        return (tile, overlap), drawing

    def _predict(self, path: str, on_step: OnStep) -> Any:
        """Return the result for a file, tile by tile."""
        width, height = image_size(path)
        total = self.predictor.count_tiles(height, width)
        count = itertools.count(1)
        self.predictor.on_tile = lambda: on_step(next(count), total)
        return self.predictor(path)

    def draw(
        self,
        result: SegmentationResult,
        folder: Path,
        opacity: float = 0.5,
    ) -> Answer:
        """Write a picture, the label map, and its regions as JSON.

        Args:
            result: The result.
            folder: Folder for the files.
            opacity: Opacity of the tint, 0 to 1.
        """
        name = Path(result.path or 'image').stem
        picture = result.save(
            folder / f'{name}.jpg', opacity=opacity, largest=LARGEST
        )
        labels = result.save_label_map(folder / f'{name}_labels.png')
        content = result.save(folder / f'{name}.json')
        rows = [
            [name, area['pixels'], f'{area["share"]:.1%}']
            for name, area in result.areas().items()
        ]
        text = f'{counted(len(rows), "class", "classes")} in the image'
        files = [picture, content, labels]
        return Answer(text, picture, rows=rows, files=files)

    def draw_frame(
        self, result: SegmentationResult, opacity: float = 0.5
    ) -> np.ndarray:
        """Return the picture (height, width, 3) in BGR of a frame.

        It has no legend, which would change its size from frame to frame.
        """
        return result.picture(opacity, legend=False, largest=LARGEST)

    def frame_entry(
        self, result: SegmentationResult, **drawing: Any
    ) -> dict[str, Any]:
        """Return the areas of a frame for a line of JSON."""
        return {'areas': result.areas()}


class VideoAnswers(Answers):
    """A recognizer that answers; see `Answers`."""

    columns = ('from', 'to', 'class', 'score')

    def answer_video(
        self,
        path: str,
        most: int = 0,
        on_step: OnStep = lambda *_: None,
        **options: Any,
    ) -> Answer:
        """Predict the classes along a video; see `Answers.answer_video`.

        The classes need the whole video: `most` is not used.
        """
        return self._answer(path, on_step, options)

    def write_activation(
        self, path: str, picture: Path, **options: Any
    ) -> str:
        """Write a class activation; see `Answers.write_activation`."""
        find_map = partial(explain_clip, self.predictor, **options)
        return write_video_maps(find_map, self.predictor, path, picture)

    def write_attention(
        self, path: str, picture: Path, stage: int, block: int, **options: Any
    ) -> str:
        """Write the attention of a block; see `Answers.write_attention`."""
        find_map = partial(
            explain_clip_attention, self.predictor, stage=stage, block=block
        )
        return write_video_maps(find_map, self.predictor, path, picture)

    def prepare(
        self, stride: float = 0, **drawing: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Set the stride of the model; see `Answers.prepare`.

        Args:
            stride: Seconds from one segment of the video to the next; 0 for
                the length of a segment.
            drawing: Other options.

        Raises:
            ValueError: If the stride is below 0.
        """
        if stride < 0:
            raise ValueError(
                f'the stride must be 0 or more seconds, got {stride:g}'
            )
        self.predictor.stride = stride or None
        return stride, drawing

    def draw(self, result: VideoResult, folder: Path, topk: int = 5) -> Answer:
        """Write a strip of frames, a labelled clip, and the scores as JSON.

        Args:
            result: The result.
            folder: Folder for the files.
            topk: Number of classes, 1 or more.

        Raises:
            ValueError: If `topk` is below 1.
        """
        if topk < 1:
            raise ValueError(
                f'the number of classes must be 1 or more, got {topk}'
            )
        name = Path(result.path or 'video').stem
        clip = result.save(folder / f'{name}.mp4')
        picture = result.save(folder / f'{name}.jpg')
        content = folder / f'{name}.json'
        cli.write_json(content, result.to_dict(topk))
        rows = []
        for window in result.windows:
            (best,) = window.top(self.classes, 1)
            times = [
                '' if seconds is None else f'{seconds:.2f} s'
                for seconds in (window.start, window.end)
            ]
            rows.append([*times, best['name'], round(best['score'], 3)])
        top = result.top(topk)
        return Answer(
            f'{counted(result.num_frames, "frame")} in '
            f'{counted(len(rows), "segment")}',
            picture,
            clip,
            rows,
            {entry['name']: entry['score'] for entry in top},
            [clip, picture, content],
        )
