"""The generated shapes as a detection data set that makes itself."""

import os
from pathlib import Path
from typing import Any

from swin_dense.detection.dataset import CheckedCocoDataset
from swin_dense.registry import DATASETS
from swin_dense.synthetic.shapes import generate_coco


@DATASETS.register_module()
class ShapesDataset(CheckedCocoDataset):
    """Generated shapes in COCO format, drawn when they are absent.

    Args:
        data_root: Where the data set lives, or will.
        ann_file: `annotations/instances_{split}.json`.
        data_prefix: `dict(img='{split}/')`; names the split.
        generate: `num_images`, and any argument of
            `swin_dense.synthetic.shapes.generate_coco` besides `root` and
            `splits`, such as `image_size`. None draws nothing: the data must
            be there.

    Other arguments are those of CheckedCocoDataset.
    """

    def __init__(
        self,
        *,
        data_root: str,
        ann_file: str,
        data_prefix: dict[str, str],
        generate: dict[str, Any] | None = None,
        **kwargs,
    ) -> None:
        if generate is not None:
            parameters = dict(generate)
            split = Path(data_prefix['img']).name
            made = generate_coco(
                data_root, {split: parameters.pop('num_images')}, **parameters
            )[split]
            if made != Path(data_root, ann_file):
                raise ValueError(
                    f'ann_file={ann_file!r} is not of the split {split!r} '
                    f'that data_prefix names: write '
                    f'{os.path.relpath(made, data_root)!r}'
                )
        super().__init__(
            data_root=data_root,
            ann_file=ann_file,
            data_prefix=data_prefix,
            **kwargs,
        )
