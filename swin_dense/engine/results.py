"""What all results of models in Python have in common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from swin_dense.engine import cli

PICTURES = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff')


class Result(ABC):
    """The result of a model for one image or video.

    What the task does not have is None: a segmentor finds no boxes, a
    detector no label map. H and W are the size of the image in pixels.

    Attributes:
        path: Path or address of the input; None if it had none.
        classes: Class names in label order.
        channel_order: 'bgr' or 'rgb': order of the channels of `image` and of
            what `draw` returns.
        boxes: Boxes (N, 4) as x0 y0 x1 y1 in pixels.
        masks: Masks (N, H, W), bool.
        labels: Indices into `classes` (N,).
        scores: Scores from 0 to 1.
        label_map: Index into `classes` of each pixel (H, W).
    """

    boxes: np.ndarray | None = None
    masks: np.ndarray | None = None
    labels: np.ndarray | None = None
    scores: np.ndarray | None = None
    label_map: np.ndarray | None = None

    def __init__(
        self,
        classes: Sequence[str],
        path: str | None = None,
        channel_order: str = 'bgr',
    ) -> None:
        self.classes = list(classes)
        self.path = path
        self.channel_order = channel_order

    @property
    def names(self) -> list[str]:
        """Class name of each of `labels`."""
        labels = () if self.labels is None else self.labels
        return [self.classes[label] for label in labels]

    def draw(self, **options: Any) -> np.ndarray:
        """Draw the result.

        Args:
            options: How to draw; see `picture` of the class.

        Returns:
            A picture (height, width, 3), uint8, in `channel_order`.
        """
        return self._ordered(self.picture(**options))

    @abstractmethod
    def picture(self) -> np.ndarray:
        """Draw the result in BGR, whatever `channel_order` is."""

    @abstractmethod
    def for_json(self) -> Any:
        """Return the content of a JSON file."""

    def save(self, path: str | PathLike, **options: Any) -> Path:
        """Write the result to a file, atomically.

        Args:
            path: A picture such as `out.jpg` or `out.png`, or `out.json` for
                the entries of COCO's results format. Its folder is created
                if needed.
            options: How to draw a picture; see `picture` of the class.

        Returns:
            The path.

        Raises:
            ValueError: If the suffix of the path is none of these.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix == '.json':
            if options:
                raise ValueError(
                    f'{path} is no picture: leave {", ".join(options)} out'
                )
            cli.write_json(path, self.for_json())
        elif suffix in PICTURES:
            cli.write_image(path, self.picture(**options))
        else:
            raise ValueError(
                f'cannot write {path}: expected one of '
                f'{", ".join(self.suffixes)} at its end'
            )
        return path

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of the files that `save` writes."""
        return (*PICTURES, '.json')

    def _ordered(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels (H, W, 3) in BGR in the order of `channel_order`."""
        if self.channel_order == 'bgr':
            return pixels
        return np.ascontiguousarray(pixels[..., ::-1])

    def _repr_jpeg_(self) -> bytes:
        """Return a picture, which a notebook shows."""
        return cli.encode_image('.jpg', self.picture())
