"""Find the configs of this package, in a checkout and in a wheel.

A checkout has them in `configs/` beside the package. A wheel has them in
`.mim/configs` inside the package, the place where OpenMMLab's packages keep
theirs.
"""

import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
PREFIX = 'swin_dense::'
# Data sets that complete a name without one, first match first.
DATA_SETS = ('coco', 'ade20k', 'k400', 'own')


def config_folder() -> Path:
    """Return the folder with the configs of this package."""
    installed = PACKAGE / '.mim' / 'configs'
    return installed if installed.is_dir() else PACKAGE.parent / 'configs'


def make_projects_importable() -> None:
    """Let configs import the modules of this checkout's projects.

    Their `custom_imports` name them as `projects.NAME.MODULE`. A wheel has no
    projects.
    """
    checkout = PACKAGE.parent
    if (checkout / 'projects').is_dir() and str(checkout) not in sys.path:
        sys.path.append(str(checkout))


def config_names() -> list[str]:
    """Return the names of all recipes, without `.py`."""
    return sorted(path.stem for path in config_folder().glob('*.py'))


def find_config(name: str) -> Path | None:
    """Return the config of this package that a name stands for.

    Args:
        name: Path below the folder of configs, such as `cascade_swin_b_coco`
            or `_base_/datasets/ade20k.py`, with or without `.py`, and with or
            without `swin_dense::` in front. The data set may be left out:
            `cascade_swin_b` is `cascade_swin_b_coco`.

    Returns:
        The file, or None if there is no such config.
    """
    folder = config_folder()
    path = folder / name.removeprefix(PREFIX)
    stem = path.name.removesuffix('.py')
    names = [stem, *(f'{stem}_{data_set}' for data_set in DATA_SETS)]
    for path in (path.with_name(f'{name}.py') for name in names):
        is_inside = folder in path.parents and '..' not in path.parts
        if is_inside and path.is_file():
            return path
    return None
