"""A video data set of moving shapes that generates its clips."""

from pathlib import Path
from typing import Any

from swin_dense.registry import DATASETS
from swin_dense.synthetic.generate_once import (
    check_drawn_classes,
    read_parameters,
)
from swin_dense.synthetic.motions import LIST, MANIFEST, generate_motions
from swin_dense.video.dataset import CheckedVideoDataset


@DATASETS.register_module()
class MotionsDataset(CheckedVideoDataset):
    """Clips in Kinetics' list format, generated if they do not exist.

    The classes are the motions of the generated data.

    Args:
        data_root: Folder of the data set.
        data_prefix: `dict(video='{split}')`, the folder of the split.
        generate: `num_clips`, and any argument of
            `swin_dense.synthetic.motions.motion_parameters`, such as
            `image_size`. With None nothing is generated, and the data must
            exist.

    Other arguments are those of CheckedVideoDataset. `classes` in `metainfo`,
    if present, must be those of the generated data.

    Raises:
        ValueError: If the classes are not those of the generated data, or the
            folder was generated with other parameters.
    """

    def __init__(
        self,
        *,
        data_root: str,
        data_prefix: dict[str, str],
        generate: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        folder = Path(data_root, data_prefix['video'])
        if generate is not None:
            parameters = dict(generate)
            generate_motions(
                folder.parent,
                {folder.name: parameters.pop('num_clips')},
                **parameters,
            )
        drawn = read_parameters(folder / MANIFEST)
        if drawn:
            metainfo = {**(kwargs.get('metainfo') or {})}
            kwargs['metainfo'] = metainfo
            classes = metainfo.setdefault('classes', drawn['classes'])
            check_drawn_classes(classes, drawn['classes'], folder)
        kwargs.setdefault('ann_file', f'{data_prefix["video"]}/{LIST}')
        super().__init__(
            data_root=data_root, data_prefix=data_prefix, **kwargs
        )
