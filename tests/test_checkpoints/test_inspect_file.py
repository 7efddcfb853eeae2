"""Checkpoints of each member of the family are described."""

import pytest
import torch

from helpers.window_files import weights
from swin_dense.checkpoints.inspect_file import inspect_checkpoint
from swin_dense.checkpoints.layouts.export import export
from swin_dense.registry import MODELS

NAMES = dict(
    v1='SwinTransformer', v2='SwinTransformerV2', video='SwinTransformer3D'
)
WINDOWS = dict(v1=5, v2=8, video=(4, 3, 3))


def shapes(model):
    return {name: value.shape for name, value in model.state_dict().items()}


@pytest.mark.parametrize('family', NAMES)
def test_members_of_the_family(tmp_path, family):
    path = tmp_path / 'a.pth'
    content = weights(family, window_size=WINDOWS[family])
    torch.save(content, path)
    info = inspect_checkpoint(path)
    assert info['family'] == family
    window = WINDOWS[family]
    expected = [window] * 2 if isinstance(window, int) else list(window)
    assert info['window'] == expected
    assert info['window_from'] == {'v2': 'coordinates that it holds'}.get(
        family, 'bias tables'
    )
    settings = info['backbone']
    assert settings['type'] == f'swin_dense.{NAMES[family]}'
    assert settings['window_size'] == window
    assert ('pretrained_window_sizes' in settings) is (family == 'v2')
    model = MODELS.build(settings)
    custom = {n: v for n, v in shapes(model).items() if n in content}
    assert custom == {n: content[n].shape for n in custom}
    assert set(shapes(model)) - set(custom) == set()


@pytest.mark.parametrize(
    'name, window',
    [
        ('swinv2_base_patch4_window12to16_192to256_22kto1k_ft', [16, 16]),
        ('swinv2_tiny_patch4_window8_256', [8, 8]),
        ('swinv2-tiny-w16_3rdparty_in1k-256px_20220803-9651cdd7', [16, 16]),
        ('model', None),
    ],
)
def test_window_of_v2_from_the_name(tmp_path, name, window):
    path = tmp_path / f'{name}.pth'
    torch.save(weights('v2', buffers=False), path)
    info = inspect_checkpoint(path)
    assert info['window'] == window
    if window:
        assert info['window_from'] == 'a guess from the file name'
        assert info['resolution'] == [256, 256]


def test_window_of_v2_from_the_official_config(tmp_path):
    path = tmp_path / 'swinv2_window8.pth'
    config = dict(
        DATA=dict(IMG_SIZE=192),
        MODEL=dict(TYPE='swinv2', SWINV2=dict(WINDOW_SIZE=12)),
    )
    torch.save(dict(model=weights('v2', buffers=False), config=config), path)
    info = inspect_checkpoint(path)
    assert (info['window'], info['window_from']) == ([12, 12], 'its config')
    assert info['resolution'] == [192, 192]


def test_renamed_files_are_described_alike(tmp_path):
    native = {
        name: value
        for name, value in weights('v2', buffers=False).items()
        if not name.startswith('norm')  # Hugging Face has no such norms
    }
    result = []
    for target in ('official', 'mmpretrain', 'huggingface'):
        path = tmp_path / f'{target}.pth'
        torch.save(export(native, target), path)
        result.append(inspect_checkpoint(path))
    for key in ('arch', 'family', 'backbone', 'backbone_parameters'):
        assert result[0][key] == result[1][key] == result[2][key]
