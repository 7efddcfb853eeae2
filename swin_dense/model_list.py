"""List the backbones and recipes that can be built."""

from fnmatch import fnmatchcase

from swin_dense.config_files import config_names
from swin_dense.sizes import MINI_SWIN, SWIN, SWIN_MLP, SWIN_MOE, SWIN_V2

# Sizes of each backbone that has an argument `arch`.
ARCHS: dict[str, dict[str, dict]] = {
    'SwinTransformer': SWIN,
    'SwinTransformerV2': SWIN_V2,
    'SwinTransformer3D': SWIN,
    'SwinTransformerV2_3D': SWIN_V2,
    'SwinMLP': SWIN_MLP,
    'SwinMoE': SWIN_MOE,
    'MiniSwin': MINI_SWIN,
}
KINDS = ('backbones', 'recipes')


def list_models(pattern: str = '', kind: str | None = None) -> list[str]:
    """Return the names of all backbones and recipes that can be built.

    A backbone is named by the code that builds it, such as
    `SwinTransformer(arch='tiny')`. A recipe is named as `load` and
    `swin-dense train` take it, such as `mask_rcnn_swin_t_coco`.

    Args:
        pattern: Part of the name, or a pattern with `*` and `?` for the whole
            name, in any case; '' for all.
        kind: 'backbones' or 'recipes'; None for both.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(
            f"kind must be 'backbones', 'recipes' or None, got {kind!r}"
        )
    names = []
    if kind != 'recipes':
        names += [
            f'{cls}(arch={arch!r})'
            for cls, archs in ARCHS.items()
            for arch in archs
        ]
    if kind != 'backbones':
        names += config_names()
    pattern = pattern.lower()
    if not {'*', '?'} & {*pattern}:
        return [name for name in names if pattern in name.lower()]
    return [name for name in names if fnmatchcase(name.lower(), pattern)]
