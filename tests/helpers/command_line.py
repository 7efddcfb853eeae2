"""The command lines in this process, on a detector of the smallest size."""

import importlib
import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from mmengine.logging import MMLogger

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = str(Path(__file__).with_name('tiny_mask_rcnn.py'))


def tool(name: str) -> ModuleType:
    """Return the module of a command, or that of `tools/{name}.py`."""
    if importlib.util.find_spec(f'swin_dense.commands.{name}'):
        return importlib.import_module(f'swin_dense.commands.{name}')
    spec = importlib.util.spec_from_file_location(
        f'{name}_tool', REPOSITORY / 'tools' / f'{name}.py'
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, *args) -> int:
    """Return the exit status of a tool."""
    # Loggers of earlier runs write to streams that pytest has closed.
    MMLogger._instance_dict.clear()
    return tool(name).main([str(arg) for arg in args])


def launch(script: str, *args) -> str:
    """Run a script of `tools/` on CPU processes; return its output."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    done = subprocess.run(
        [str(REPOSITORY / 'tools' / script), *map(str, args)],
        env={
            **os.environ,
            'PORT': str(port),
            'PYTHON': sys.executable,
            'CUDA_VISIBLE_DEVICES': '',
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def error_of(capsys, status: int) -> str:
    """Return the message of a tool that failed, which is no traceback."""
    error = capsys.readouterr().err
    assert status == 1
    assert 'Traceback' not in error and 'error: ' in error
    return error.split('error: ', 1)[1]
