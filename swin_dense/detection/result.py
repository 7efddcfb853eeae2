"""The instances that a detector finds in an image."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from swin_dense.detection.coco_entries import coco_entries
from swin_dense.engine.results import Result
from swin_dense.visualization import draw_instances
from swin_dense.visualization.instances import InstanceArrays
from swin_dense.wording import counted, suggest_name

# Least score of instances that are drawn and named by default.
SCORE_THR = 0.3


class DetectionResult(Result):
    """The instances in an image, highest score first.

    Its length is the number of instances N. H and W are the size of the image
    in pixels.

    Attributes:
        boxes: Boxes (N, 4) as x0 y0 x1 y1 in pixels.
        labels: Indices into `classes` (N,).
        scores: Scores (N,), 0 to 1.
        track_ids: Ids of the objects in a video (N,), from 1 on, and -1 for
            instances of no track; None if objects are not followed.

    Args:
        image: The image (H, W, 3), BGR, uint8.
        instances: `bboxes` (N, 4), `labels` (N,), `scores` (N,), `masks`
            (N, H, W) if the model predicts them, and `track_ids` (N,) of
            objects that are followed: `InstanceData` of mmengine, or
            `InstanceArrays`.
        classes: Class names in label order.
        path: Path or address of the image; None if it had none.
        channel_order: See `Result`.
        palette: Colours of the classes as (red, green, blue), or None.
        category_ids: Id of each class in the data set; 1, 2, ... by default.
    """

    def __init__(
        self,
        image: np.ndarray,
        instances: Any,
        classes: Sequence[str],
        path: str | None = None,
        channel_order: str = 'bgr',
        palette: Sequence[Sequence[int]] | None = None,
        category_ids: Sequence[int] | None = None,
    ) -> None:
        super().__init__(classes, path, channel_order)
        self._image = image
        self.palette = palette
        self.category_ids = category_ids
        found = InstanceArrays.read(instances)
        scores = np.ones(len(found.labels))
        if found.scores is not None:
            scores = found.scores
        order = np.argsort(-scores, kind='stable')
        self.instances = found._replace(scores=scores).keep(order)
        self.boxes: np.ndarray = self.instances.bboxes
        self.labels: np.ndarray = self.instances.labels
        self.scores: np.ndarray = scores[order]
        self.track_ids: np.ndarray | None = self.instances.track_ids

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        height, width = self._image.shape[:2]
        shown = self.scores >= SCORE_THR
        counts = Counter(np.array(self.names, object)[shown])
        names = ', '.join(f'{n} {name}' for name, n in counts.most_common())
        return (
            f'<{type(self).__name__} of {self.path or "an image"}, '
            f'{width}x{height}: {counted(len(self), "instance")}, of which '
            f'with a score of {SCORE_THR} or more: {names or "none"}>'
        )

    @property
    def image(self) -> np.ndarray:
        """The image (H, W, 3), uint8, in `channel_order`."""
        return self._ordered(self._image)

    @cached_property
    def masks(self) -> np.ndarray | None:  # type: ignore[override]
        """Masks (N, H, W), bool; None if the model predicts none.

        They are computed when they are first asked for, and take N * H * W
        bytes.
        """
        masks = self.instances.masks
        return masks.to_ndarray() if hasattr(masks, 'to_ndarray') else masks

    def keep(
        self, score_thr: float = 0.0, classes: Sequence[str] | None = None
    ) -> 'DetectionResult':
        """Return the result with some of its instances.

        Args:
            score_thr: Least score of an instance.
            classes: Names of classes to keep; None for all.

        Raises:
            ValueError: If the model does not know a class.
        """
        chosen = self.scores >= score_thr
        if classes is not None:
            labels = labels_of(classes, self.classes)
            chosen &= np.isin(self.labels, labels)
        return self._copy(self.instances.keep(chosen))

    def with_track_ids(self, track_ids: np.ndarray) -> 'DetectionResult':
        """Return the result with ids of objects (N,); -1 for no object."""
        return self._copy(self.instances._replace(track_ids=track_ids))

    def _copy(self, instances: InstanceArrays) -> 'DetectionResult':
        """Return the result with other instances."""
        return DetectionResult(
            self._image,
            instances,
            self.classes,
            self.path,
            self.channel_order,
            self.palette,
            self.category_ids,
        )

    def picture(
        self,
        score_thr: float = SCORE_THR,
        *,
        labels: bool = True,
        masks: bool = True,
        colour_by: str = 'instance',
        largest: int | None = None,
    ) -> np.ndarray:
        """Draw masks, boxes, class names and scores into the image.

        Args:
            score_thr: Least score of an instance that is drawn. Instances
                with an id in `track_ids` are drawn whatever their score is.
            labels: If False, ids, class names and scores are left out.
            masks: If False, masks are left out.
            colour_by: 'instance' for a colour for each instance, in videos
                for each id; 'class' for the colours of the data set's
                palette.
            largest: Longest side of the picture in pixels; a larger image is
                reduced. None draws it as it is.

        Returns:
            The picture (height, width, 3), BGR, uint8.
        """
        pixels, shown = self._image, self.instances.visible(score_thr)
        factor = largest / max(pixels.shape[:2]) if largest else 1
        if factor < 1:
            size = tuple(
                max(1, round(side * factor)) for side in pixels.shape[1::-1]
            )
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            shown = shown.resized(size, factor)
        return draw_instances(
            pixels,
            shown,
            self.classes,
            score_thr,
            labels=labels,
            masks=masks,
            colour_by=colour_by,
            palette=self.palette,
        )

    def for_json(self) -> list[dict[str, Any]]:
        """Return the content of a JSON file; see `to_coco`."""
        return self.to_coco()

    def to_coco(
        self, image_id: int = 1, category_ids: Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        """Return the instances as entries of COCO's results format.

        Args:
            image_id: Id of the image.
            category_ids: Id of each class; by default those of the data set,
                if it is known, else 1, 2, ...

        Returns:
            Entries that `pycocotools.COCO.loadRes` reads, with boxes as
            x y w h in pixels and masks as RLE. `file_name` and
            `category_name` are added for readers.
        """
        image = dict(id=image_id, file_name=self.path or '')
        ids = category_ids or self.category_ids
        return coco_entries(self.instances, image, self.classes, ids)


def labels_of(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Return the labels of class names.

    Args:
        names: Names to look for.
        classes: Class names in label order.

    Raises:
        ValueError: If there is no class of a name.
    """
    if isinstance(names, str):
        names = [names]
    for name in names:
        if name not in classes:
            raise ValueError(
                f'there is no class {name!r}; {suggest_name(name, classes)}'
            )
    return [label for label, name in enumerate(classes) if name in names]
