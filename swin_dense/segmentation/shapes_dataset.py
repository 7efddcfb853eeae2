"""The generated shapes as label maps that make themselves."""

from pathlib import Path
from typing import Any

from swin_dense.data.messages import check_class_names
from swin_dense.registry import DATASETS
from swin_dense.segmentation.dataset import CheckedSegDataset
from swin_dense.synthetic.generate_once import (
    check_drawn_classes,
    read_parameters,
)
from swin_dense.synthetic.shapes import ADE_MANIFEST, BACKGROUND, generate_ade


@DATASETS.register_module()
class ShapesSegDataset(CheckedSegDataset):
    """Generated shapes in ADE20K's layout, drawn when they are absent.

    The classes are the background and the shapes, as the data set was drawn.

    Args:
        data_root: Where the data set lives, or will.
        data_prefix: `dict(img_path='images/{split}',
            seg_map_path='annotations/{split}')`; names the split.
        generate: `num_images`, and any argument of
            `swin_dense.synthetic.shapes.generate_ade` besides `root` and
            `splits`, such as `image_size`. None draws nothing: the data must
            be there.
        metainfo: May repeat the classes.

    Other arguments are those of CheckedSegDataset.
    """

    def __init__(
        self,
        *,
        data_root: str,
        data_prefix: dict[str, str],
        generate: dict[str, Any] | None = None,
        metainfo: dict | None = None,
        **kwargs,
    ) -> None:
        maps = Path(data_root, data_prefix['seg_map_path'])
        if generate is not None:
            parameters = dict(generate)
            generate_ade(
                data_root,
                {maps.name: parameters.pop('num_images')},
                **parameters,
            )
        drawn = read_parameters(maps / ADE_MANIFEST) or {}
        classes = (BACKGROUND, *drawn.get('classes', ()))
        metainfo = {'classes': classes, **(metainfo or {})}
        if drawn:
            given = metainfo['classes']
            check_class_names(given, maps, classes)
            check_drawn_classes(given, classes, maps)
        super().__init__(
            data_root=data_root,
            data_prefix=data_prefix,
            metainfo=metainfo,
            **kwargs,
        )
