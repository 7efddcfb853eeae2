"""Predict instances in images from a config and a checkpoint."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from os import PathLike
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import nn

from swin_dense.checkpoints.class_names import reads_text, stored_classes
from swin_dense.detection.dataset_ids import find_ids, find_palette
from swin_dense.detection.masks import keep_in_boxes
from swin_dense.detection.object_tracks import ObjectTracker
from swin_dense.detection.result import SCORE_THR, DetectionResult
from swin_dense.engine.base_predictor import (
    BasePredictor,
    configured_classes,
)
from swin_dense.engine.finite_scores import check_scores
from swin_dense.engine.inputs import ImageLike
from swin_dense.engine.predict_videos import open_source


class DetectionPredictor(BasePredictor):
    """A trained detector; see `BasePredictor`.

    Args:
        texts: Class names to detect, for a model that reads text (GLIP,
            Grounding DINO); by default the classes of the config's test set,
            or those in the checkpoint.

    Attributes:
        palette: Colours of the classes as (red, green, blue), or None.
        ids: Ids of the classes and images of the config's test set.

    Raises:
        ValueError: If `texts` are passed to a model that does not read text,
            or a model that reads text has no class names.
    """

    scope = 'mmdet'

    def __init__(
        self, *args: Any, texts: Sequence[str] | None = None, **kwargs: Any
    ) -> None:
        self._texts = texts
        super().__init__(*args, **kwargs)
        keep_in_boxes(self.model)

    def predict_batch(
        self, inputs: Sequence[ImageLike]
    ) -> list[DetectionResult]:
        """Predict for one batch; see `BasePredictor.__call__`."""
        images, arguments = self._read(inputs)
        batch = pseudo_collate(self._prepare(images))
        with torch.no_grad():
            samples = self.model.test_step(batch)
        predictions = [sample.pred_instances.cpu() for sample in samples]
        for instances in predictions:
            for name in ('bboxes', 'scores'):
                check_scores(instances[name], name)
        return [
            DetectionResult(
                instances=instances,
                palette=self.palette,
                category_ids=self.ids.categories,
                **common,
            )
            for instances, common in zip(predictions, arguments)
        ]

    def track(
        self,
        source: str | PathLike,
        score_thr: float = SCORE_THR,
        max_frames: int | None = None,
    ) -> Iterator[DetectionResult]:
        """Follow the objects of a video; yield the result of each frame.

        Args:
            source: Path or address of a video, or `camera:0` for a camera.
            score_thr: Least score of an instance that begins a track.
            max_frames: Largest number of frames; None for all.

        Yields:
            The instances of a frame, with `track_ids`; see `ObjectTracker`.

        Raises:
            ValueError: If the package trackers is not installed.
            VideoError: If the video cannot be opened, or a frame cannot be
                read.
        """
        with open_source(str(source)) as opened:
            tracker = ObjectTracker(opened.fps, score_thr)
            for frame in islice(opened.frames, max_frames):
                pixels = frame.pixels
                if self.channel_order == 'rgb':
                    pixels = pixels[..., ::-1]
                (result,) = self.predict_batch([pixels])
                result.path = str(source)
                yield tracker.update(result)

    def _open_data(self, dataset: Any, classes: list[str] | None) -> list[str]:
        """Find class names, palette and ids; see `BasePredictor`."""
        names = super()._open_data(dataset, classes)
        self.palette = find_palette(dataset, names)
        self.ids = find_ids(dataset, names)
        return names

    def _find_classes(
        self, model: nn.Module, checkpoint: Mapping[str, Any], dataset: Any
    ) -> list[str] | None:
        if not reads_text(model):
            if self._texts is not None:
                raise ValueError(
                    'texts are for models that read the names of what they '
                    'look for, as GLIP and Grounding DINO do; a '
                    f'{type(model).__name__} knows the classes that it was '
                    'trained on'
                )
            return super()._find_classes(model, checkpoint, dataset)
        classes = (
            self._texts
            or configured_classes(dataset)
            or stored_classes(checkpoint)
        )
        if not classes:
            raise ValueError(
                f'a {type(model).__name__} needs the names of the objects to '
                'detect: give them, as in --texts "person . traffic light"'
            )
        return list(classes)

    def _prepare(self, images: Sequence[np.ndarray]) -> list[dict]:
        prepared = super()._prepare(images)
        if reads_text(self.model):
            for data in prepared:
                data['data_samples'].set_metainfo(
                    {'text': tuple(self.classes), 'custom_entities': True}
                )
        return prepared


def split_texts(texts: str) -> list[str]:
    """Split names that are separated by dots, as 'person . traffic light'.

    Raises:
        ValueError: If there are no names, or a name is a duplicate.
    """
    names = [name.strip() for name in texts.split('.') if name.strip()]
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f'got the texts {texts!r}: expected one or more different names, '
            'separated by dots, as in "person . traffic light"'
        )
    return names
