"""Masks of instances, kept as small maps in their boxes.

H and W are the height and width of the image in pixels, N is the number of
instances.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask
from torch import Tensor, nn

# Pixels that are computed at a time: some 50 MB.
PART = 2**21

Place = tuple[slice, slice]


class BoxMasks:
    """Masks that are resized from small maps to their boxes when needed.

    Written out, a mask has a byte for each pixel of its image: a hundred of
    them in an image of 20000 x 20000 would take 40 GB.

    Args:
        maps: Probabilities (N, h, w), float.
        boxes: (N, 4), x0 y0 x1 y1 in pixels.
        size: Of the image, (H, W).
        threshold: From this probability on, a pixel belongs to the instance.
    """

    def __init__(
        self,
        maps: Tensor,
        boxes: Tensor,
        size: Sequence[int],
        threshold: float,
    ) -> None:
        self.maps = maps.detach().cpu().float()
        self.boxes = boxes.detach().cpu().float()
        self.size = int(size[0]), int(size[1])
        self.threshold = threshold

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, chosen: np.ndarray | Tensor | slice) -> 'BoxMasks':
        """Return the masks of an index array or a boolean array."""
        if isinstance(chosen, np.ndarray):
            chosen = torch.from_numpy(chosen)
        return BoxMasks(
            self.maps[chosen], self.boxes[chosen], self.size, self.threshold
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, H, W)."""
        return (len(self), *self.size)

    def resized(self, size: tuple[int, int], factor: float) -> 'BoxMasks':
        """Return the masks for the same image at another (width, height)."""
        return BoxMasks(
            self.maps, self.boxes * factor, size[::-1], self.threshold
        )

    def parts(self, index: int) -> Iterator[tuple[Place, np.ndarray]]:
        """Compute a mask, column by column, as far as its box reaches.

        Yields:
            Rows and columns of the image, and which of these pixels belong
            to the instance, (rows, columns) bool.
        """
        x0, y0, x1, y1 = self.boxes[index]
        height, width = self.size
        # A pixel more on each side, as interpolation reaches beyond the box.
        top = max(int(y0.floor()) - 1, 0)
        bottom = min(int(y1.ceil()) + 1, height)
        left = max(int(x0.floor()) - 1, 0)
        right = min(int(x1.ceil()) + 1, width)
        if top >= bottom:
            return
        y = _relative(top, bottom, y0, y1)
        step = max(1, PART // (bottom - top))
        for start in range(left, right, step):
            stop = min(start + step, right)
            x = _relative(start, stop, x0, x1)
            grid = torch.stack(
                [
                    x[None].expand(len(y), -1),
                    y[:, None].expand(-1, len(x)),
                ],
                2,
            )  # (rows, columns, 2)
            values = F.grid_sample(
                self.maps[index][None, None], grid[None], align_corners=False
            )
            inside = values[0, 0] >= self.threshold  # (rows, columns)
            yield (slice(top, bottom), slice(start, stop)), inside.numpy()

    def rle(self, index: int) -> dict[str, Any]:
        """Encode a mask as COCO does, without writing it out.

        Returns:
            `size` [H, W] and `counts`, as pycocotools' `encode` gives them.
        """
        height, width = self.size
        starts: list[np.ndarray] = []
        ends: list[np.ndarray] = []
        for (rows, columns), part in self.parts(index):
            padded = np.zeros((part.shape[1], part.shape[0] + 2), np.int8)
            padded[:, 1:-1] = part.T
            change = np.diff(padded, axis=1)  # (columns, rows + 1)
            for value, found in ((1, starts), (-1, ends)):
                column, row = np.nonzero(change == value)
                found.append(
                    (column + columns.start) * height + row + rows.start
                )
        # Pixels count down the columns. A run that reaches the bottom goes on
        # at the top of the next column.
        start, end = (
            np.concatenate([np.zeros(0, int), *found])
            for found in (starts, ends)
        )
        goes_on = np.flatnonzero(start[1:] == end[:-1])
        runs = np.stack(
            [np.delete(start, goes_on + 1), np.delete(end, goes_on)], 1
        ).ravel()
        edges = np.concatenate([[0], runs, [height * width]])
        counts = np.diff(edges)
        if len(counts) > 1 and counts[-1] == 0:
            counts = counts[:-1]
        return coco_mask.frPyObjects(
            dict(size=[height, width], counts=counts.tolist()), height, width
        )

    def to_ndarray(self) -> np.ndarray:
        """Write all masks out, (N, H, W) bool."""
        masks = np.zeros(self.shape, bool)
        for index, mask in enumerate(masks):
            for place, part in self.parts(index):
                mask[place] = part
        return masks


def _relative(start: int, stop: int, low: Tensor, high: Tensor) -> Tensor:
    """Return where the centres of pixels lie in a box, from -1 to 1."""
    centres = torch.arange(start, stop, dtype=torch.float32) + 0.5
    place = (centres - low) / (high - low) * 2 - 1
    return place.masked_fill(place.isinf(), 0)  # of a box without extent


def keep_in_boxes(model: nn.Module) -> None:
    """Let the mask heads of a detector predict `BoxMasks`, in place.

    That is what mmdet's `FCNMaskHead` and its subclasses do at last, in
    images of the original size; other heads stay as they are.
    """
    from mmdet.models.roi_heads.mask_heads import FCNMaskHead

    for module in model.modules():
        if isinstance(module, FCNMaskHead):
            module._predict_by_feat_single = partial(_predict_single, module)


def _predict_single(
    head: nn.Module,
    mask_preds: Any,
    bboxes: Tensor,
    labels: Tensor,
    img_meta: dict,
    rcnn_test_cfg: Any,
    rescale: bool = False,
    activate_map: bool = False,
) -> BoxMasks:
    """Stand in for `FCNMaskHead._predict_by_feat_single`.

    Raises:
        ValueError: If masks are not to be of the image's size, or are to be
            probabilities.
    """
    threshold = rcnn_test_cfg.mask_thr_binary
    if not rescale or threshold < 0:
        raise ValueError(
            'masks are predicted in the pixels of the image and '
            f'from a threshold on; got rescale={rescale}, '
            f'mask_thr_binary={threshold}'
        )
    maps = (
        bboxes.new_tensor(mask_preds) if activate_map else mask_preds.sigmoid()
    )
    bboxes /= bboxes.new_tensor(img_meta['scale_factor']).repeat(2)
    channels = torch.zeros_like(labels) if head.class_agnostic else labels
    maps = maps[range(len(maps)), channels]  # (N, h, w)
    return BoxMasks(maps, bboxes, img_meta['ori_shape'][:2], threshold)
