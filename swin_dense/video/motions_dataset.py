"""The generated motions as a video data set that makes itself."""

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
    """Generated clips in Kinetics' list format, drawn when they are absent.

    The classes are the motions, as the data set was drawn.

    Args:
        data_root: Where the data set lives, or will.
        data_prefix: `dict(video='{split}')`; names the split.
        generate: `num_clips`, and any argument of
            `swin_dense.synthetic.motions.motion_parameters`, such as
            `image_size`. None draws nothing: the data must be there.

    Other arguments are those of CheckedVideoDataset. `metainfo` may repeat the
    classes.

    Raises:
        ValueError: The classes are others than those drawn, or the folder
            holds something else.
    """

    def __init__(
        self,
        *,
        data_root: str,
        data_prefix: dict[str, str],
        generate: dict[str, Any] | None = None,
        **kwargs,
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
            given = metainfo.setdefault('classes', drawn['classes'])
            check_drawn_classes(given, drawn['classes'], folder)
        kwargs.setdefault('ann_file', f'{data_prefix["video"]}/{LIST}')
        super().__init__(
            data_root=data_root, data_prefix=data_prefix, **kwargs
        )
