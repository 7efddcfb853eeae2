"""Keep masks of instances as small maps in their boxes.

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

PART = 2**21  # pixels that are computed at a time, in about 50 MB

Place = tuple[slice, slice]


class BoxMasks:
    """Masks that are resized from small maps to their boxes when needed.

    As an array, a mask has one byte per pixel of the image: 100 masks in an
    image of 20000 x 20000 pixels would take 40 GB.

    Args:
        maps: Probabilities (N, h, w), float.
        boxes: Boxes (N, 4) as x0 y0 x1 y1 in pixels.
        size: Size of the image (H, W).
        threshold: Least probability of a pixel of the mask.
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
        """Return the masks for a resized image.

        Args:
            size: (width, height) of the resized image in pixels.
            factor: Resized over original side.
        """
        return BoxMasks(
            self.maps, self.boxes * factor, size[::-1], self.threshold
        )

    def parts(self, index: int) -> Iterator[tuple[Place, np.ndarray]]:
        """Compute the part of a mask inside its box, some columns at a time.

        Args:
            index: Index of the mask.

        Yields:
            Rows and columns of the image as slices, and the mask there
            (rows, columns), bool.
        """
        x0, y0, x1, y1 = self.boxes[index]
        height, width = self.size
        # One more pixel on each side, as interpolation reaches beyond the box.
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
        """Encode a mask as a compressed RLE of COCO, part by part.

        Args:
            index: Index of the mask.

        Returns:
            `size` [H, W] and `counts`, as from pycocotools' `encode`.
        """
        height, width = self.size
        starts: list[np.ndarray] = []
        ends: list[np.ndarray] = []
        for (rows, columns), part in self.parts(index):
            padded = np.zeros((part.shape[1], part.shape[0] + 2), np.int8)
            padded[:, 1:-1] = part.T
            change = np.diff(padded, axis=1)  # (columns, rows + 1)
            for value, positions in ((1, starts), (-1, ends)):
                column, row = np.nonzero(change == value)
                positions.append(
                    (column + columns.start) * height + row + rows.start
                )
        # Pixels are numbered down the columns. A run that reaches the bottom
        # continues at the top of the next column.
        start, end = (
            np.concatenate([np.zeros(0, int), *positions])
            for positions in (starts, ends)
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
        """Return all masks as an array (N, H, W), bool."""
        masks = np.zeros(self.shape, bool)
        for index, mask in enumerate(masks):
            for place, part in self.parts(index):
                mask[place] = part
        return masks


def _relative(start: int, stop: int, low: Tensor, high: Tensor) -> Tensor:
    """Return the positions of pixel centres in a box, from -1 to 1.

    Args:
        start: First pixel.
        stop: Pixel after the last.
        low: Start of the box in pixels.
        high: End of the box in pixels.
    """
    centres = torch.arange(start, stop, dtype=torch.float32) + 0.5
    place = (centres - low) / (high - low) * 2 - 1
    return place.masked_fill(place.isinf(), 0)  # boxes without extent


def keep_in_boxes(model: nn.Module) -> None:
    """Make the mask heads of a detector return `BoxMasks`, in place.

    Replaces the last step of mmdet's `FCNMaskHead` and its subclasses, which
    pastes masks into the image. Other heads are not changed.
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
    """Replace `FCNMaskHead._predict_by_feat_single`.

    Raises:
        ValueError: If masks are requested in another size than that of the
            image, or as probabilities.
    """
    threshold = rcnn_test_cfg.mask_thr_binary
    if not rescale or threshold < 0:
        raise ValueError(
            'masks are predicted in the pixels of the image and '
            f'from a threshold on; got rescale={rescale}, '
            f'mask_thr_binary={threshold}'
        )
    maps = (
        torch.as_tensor(mask_preds).to(bboxes)
        if activate_map
        else mask_preds.sigmoid()
    )
    bboxes /= bboxes.new_tensor(img_meta['scale_factor']).repeat(2)
    channels = torch.zeros_like(labels) if head.class_agnostic else labels
    maps = maps[range(len(maps)), channels]  # (N, h, w)
    return BoxMasks(maps, bboxes, img_meta['ori_shape'][:2], threshold)
