"""A segmentation data set of shapes that generates its images."""

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
    """Shapes in ADE20K's layout, generated if they do not exist.

    The classes are the background and the shapes of the generated data.

    Args:
        data_root: Folder of the data set.
        data_prefix: `dict(img_path='images/{split}',
            seg_map_path='annotations/{split}')`, the folders of the split.
        generate: `num_images`, and any argument of
            `swin_dense.synthetic.shapes.generate_ade` besides `root` and
            `splits`, such as `image_size`. With None nothing is generated,
            and the data must exist.
        metainfo: `classes`, if present, must be those of the generated data.

    Other arguments are those of CheckedSegDataset.

    Raises:
        ValueError: If `classes` are not those of the generated data, or an
            argument in `generate` is out of range.
    """

    def __init__(
        self,
        *,
        data_root: str,
        data_prefix: dict[str, str],
        generate: dict[str, Any] | None = None,
        metainfo: dict | None = None,
        **kwargs: Any,
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
            check_class_names(metainfo['classes'], maps, classes)
            check_drawn_classes(metainfo['classes'], classes, maps)
        super().__init__(
            data_root=data_root,
            data_prefix=data_prefix,
            metainfo=metainfo,
            **kwargs,
        )
