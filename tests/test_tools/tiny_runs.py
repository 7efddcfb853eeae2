"""The command lines in this process, on a detector of the smallest size."""
import importlib.util
from pathlib import Path
from types import ModuleType

from mmengine.logging import MMLogger

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = str(Path(__file__).with_name('tiny_mask_rcnn.py'))


def tool(name: str) -> ModuleType:
    """The module of `tools/{name}.py`, which is no package."""
    spec = importlib.util.spec_from_file_location(
        f'{name}_tool', REPOSITORY / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, *args) -> int:
    """The exit status of a tool."""
    # Loggers of earlier runs write to streams that pytest has closed.
    MMLogger._instance_dict.clear()
    return tool(name).main([str(arg) for arg in args])
