"""Write pictures of a test: the truth beside the prediction."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import Hook

from swin_dense.engine.cli import write_image
from swin_dense.engine.input_files import drawn_name

# Takes a data sample and the meta information of the data set; returns the
# picture (height, width, 3), BGR, uint8.
DrawPair = Callable[[Any, Mapping[str, Any]], np.ndarray]


class ShowHook(Hook):
    """Writes a picture of each image of a test.

    Args:
        folder: Folder for the pictures, which have the names of the images. A
            name that occurs again gets the id of its image.
        draw: Function that draws a data sample.
    """

    def __init__(self, folder: Path, draw: DrawPair) -> None:
        self.folder = folder
        self.draw = draw
        self.names: set[Path] = set()

    def after_test_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Write the pictures of a batch.

        Args:
            runner: The runner.
            batch_idx: Unused.
            data_batch: Unused.
            outputs: Data samples with truth and prediction.
        """
        meta = runner.test_dataloader.dataset.metainfo
        for sample in outputs or ():
            name = drawn_name(Path(Path(sample.img_path).name))
            if name in self.names:
                name = name.with_stem(f'{name.stem}_{sample.get("img_id")}')
            self.names.add(name)
            write_image(self.folder / name, self.draw(sample, meta))
