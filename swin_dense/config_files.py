"""Find the configs of this package, in a checkout and in a wheel.

A checkout has them in `configs/` beside the package. A wheel has them in
`.mim/configs` inside the package, the place where OpenMMLab's packages keep
theirs.
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
PREFIX = 'swin_dense::'


def config_folder() -> Path:
    """Return the folder with the configs of this package."""
    installed = PACKAGE / '.mim' / 'configs'
    return installed if installed.is_dir() else PACKAGE.parent / 'configs'


def config_names() -> list[str]:
    """Return the names of all recipes, without `.py`."""
    return sorted(path.stem for path in config_folder().glob('*.py'))


def find_config(name: str) -> Path | None:
    """Return the config of this package that a name stands for.

    Args:
        name: Path below the folder of configs, such as `cascade_swin_b_coco`
            or `_base_/datasets/ade20k.py`, with or without `.py`, and with or
            without `swin_dense::` in front.

    Returns:
        The file, or None if there is no such config.
    """
    folder = config_folder()
    path = folder / name.removeprefix(PREFIX)
    if path.suffix != '.py':
        path = path.with_name(f'{path.name}.py')
    is_inside = folder in path.parents and '..' not in path.parts
    return path if is_inside and path.is_file() else None
