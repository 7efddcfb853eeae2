"""What docs/published_checkpoints.md says of a file can be built."""

import re
from pathlib import Path

import pytest
import torch

from swin_dense import backbones
from swin_dense.config_files import find_config

PAGE = Path(__file__).parents[2] / 'docs' / 'published_checkpoints.md'
# (name of the file, address, what it becomes here)
ROWS = re.findall(
    r'^\| \[([^]]+)\]\((\S+)\)[^`]*(`.*) \|$', PAGE.read_text('utf-8'), re.M
)
# The first of each class and arch.
BACKBONES = {
    (name, arguments.split(',')[0]): arguments
    for _, _, text in reversed(ROWS)
    for name, arguments in re.findall(r'`(\w+)`, `(arch=[^`]+)`', text)
}


def test_there_are_rows():
    assert len(ROWS) > 200 and len(BACKBONES) > 15
    assert all(address.startswith('https://') for _, address, _ in ROWS)


@pytest.mark.parametrize('name, arch', BACKBONES)
def test_backbones_can_be_built(name, arch):
    arguments = eval(f'dict({BACKBONES[name, arch]})')
    with torch.device('meta'):
        backbone = getattr(backbones, name)(**arguments)
    assert len(backbone.strides) in (1, 4)


def test_rows_fit_the_names_of_the_files():
    """Size and window in the name of a file are those of its row."""
    for file, _, text in ROWS:
        size = re.search(r'tiny|small|base|large|huge', file.lower())
        arch = re.search(r"arch='(\w+)'", text)
        if arch and size:
            assert arch[1].split('_')[0] == size[0], file
        window = re.search(r'patch4_window(?:\d+to)?(\d+)', file)
        if window and 'window_size' in text:
            assert f'window_size={window[1]}' in text, file
        for config in re.findall(
            r'`(\w+_(?:coco|ade20k|k400|ssv2)\w*)`', text
        ):
            assert find_config(config), file
