"""A detection data set of shapes that generates its images."""

import os
from pathlib import Path
from typing import Any

from swin_dense.detection.dataset import CheckedCocoDataset
from swin_dense.registry import DATASETS
from swin_dense.synthetic.shapes import generate_coco


@DATASETS.register_module()
class ShapesDataset(CheckedCocoDataset):
    """Shapes in COCO format, generated if they do not exist.

    Args:
        data_root: Folder of the data set.
        ann_file: Path `annotations/instances_{split}.json` below it.
        data_prefix: `dict(img='{split}/')`, the folder of the split.
        generate: `num_images`, and any argument of
            `swin_dense.synthetic.shapes.generate_coco` besides `root` and
            `splits`, such as `image_size`. With None nothing is generated,
            and the data must exist.

    Other arguments are those of CheckedCocoDataset.

    Raises:
        ValueError: If `ann_file` does not belong to the split, or an argument
            in `generate` is out of range.
    """

    def __init__(
        self,
        *,
        data_root: str,
        ann_file: str,
        data_prefix: dict[str, str],
        generate: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if generate is not None:
            parameters = dict(generate)
            split = Path(data_prefix['img']).name
            made = generate_coco(
                data_root, {split: parameters.pop('num_images')}, **parameters
            )[split]
            if made != Path(data_root, ann_file):
                raise ValueError(
                    f'ann_file={ann_file!r} does not belong to the split '
                    f'{split!r} in data_prefix: write '
                    f'{os.path.relpath(made, data_root)!r}'
                )
        super().__init__(
            data_root=data_root,
            ann_file=ann_file,
            data_prefix=data_prefix,
            **kwargs,
        )
