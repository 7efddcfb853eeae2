"""Checkpoints with averaged weights, or with low-rank updates (LoRA)."""

import pytest
import torch

from helpers.swin_files import classifier_file, random_swin
from swin_dense.checkpoints.convert import convert_checkpoint
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.checkpoints.inspect_file import inspect_checkpoint
from swin_dense.checkpoints.layouts.translate import (
    describe_choice,
    extract_state_dict,
)
from swin_dense.checkpoints.load import load_backbone, load_model
from swin_dense.commands import convert_checkpoint as tool


@pytest.fixture
def model():
    return random_swin()


def averaged(model, key='state_dict_ema', raw='model'):
    """Return a checkpoint whose averaged weights are twice the raw ones."""
    weights = classifier_file(model)['model']
    twice = {
        name: value * 2 if value.is_floating_point() else value
        for name, value in weights.items()
    }
    return {raw: weights, key: twice}


@pytest.mark.parametrize('key', ['state_dict_ema', 'model_ema'])
@pytest.mark.parametrize('raw', ['state_dict', 'model'])
def test_the_choice_is_logged(model, key, raw):
    file = averaged(model, key, raw)
    text = describe_choice(file)
    assert f"the weights under '{raw}' are taken" in text
    assert f"also holds '{key}'" in text and f'--weights {key}' in text
    assert extract_state_dict(file).keys() == file[raw].keys()
    assert torch.equal(
        extract_state_dict(file, key)['patch_embed.proj.bias'],
        2 * extract_state_dict(file)['patch_embed.proj.bias'],
    )
    del file[raw]
    assert describe_choice(file) == '' and len(extract_state_dict(file)) > 10
    with pytest.raises(ValueError, match=f"without 'swa': it holds .'{key}'"):
        extract_state_dict(file, 'swa')


def test_loading_tells(model, tmp_path, logged):
    path = tmp_path / 'swin_patch4_window7_224.pth'
    torch.save(averaged(model), path)
    load_backbone(random_swin(), path)
    assert "the weights under 'model' are taken" in logged.text


def test_the_tool_writes_either(model, tmp_path, capsys):
    path = tmp_path / 'swin_patch4_window7_224.pth'
    torch.save(averaged(model), path)
    command = [str(path), str(tmp_path / 'raw.pth'), '--to', 'official']
    assert tool.main(command) == 0
    assert "also holds 'state_dict_ema'" in capsys.readouterr().out
    command[1] = str(tmp_path / 'ema.pth')
    assert tool.main([*command, '--weights', 'state_dict_ema']) == 0
    assert 'also holds' not in capsys.readouterr().out
    raw, ema = (
        extract_state_dict(read_checkpoint(tmp_path / name))[
            'patch_embed.proj.weight'
        ]
        for name in ('raw.pth', 'ema.pth')
    )
    assert torch.equal(ema, 2 * raw)
    command[1] = str(tmp_path / 'x.pth')
    assert tool.main([*command, '--weights', 'swa']) == 1
    assert "without 'swa'" in capsys.readouterr().err


def lora(weights, style):
    """Add low-rank updates under the names that a library gives them."""
    result = {}
    for name, value in weights.items():
        if name.endswith('attn.qkv.weight'):
            stem = name.removesuffix('.weight')
            middle = '.default' if style == 'peft' else ''
            base = '.base_layer' if style == 'peft' else '.original_layer'
            result[f'{stem}{base}.weight'] = value
            for part in ('A', 'B') if style == 'peft' else ('down', 'up'):
                result[f'{stem}.lora_{part}{middle}.weight'] = value[:4]
        else:
            result[name] = value
    return result


@pytest.mark.parametrize('style', ['peft', 'mmpretrain'])
def test_unmerged_updates_are_to_be_merged(model, tmp_path, style):
    path = tmp_path / 'swin_patch4_window7_224.pth'
    file = dict(model=lora(classifier_file(model)['model'], style))
    torch.save(file, path)
    message = 'is an unmerged LoRA checkpoint: .* Merge it first'
    for attempt in (
        lambda: load_backbone(model, path),
        lambda: load_model(model, path),
        lambda: inspect_checkpoint(path),
        lambda: convert_checkpoint(file, 'timm'),
    ):
        with pytest.raises(CheckpointError, match=message):
            attempt()


def test_a_model_with_updates_loads_its_own(model):
    model.lora_A = torch.nn.Parameter(torch.ones(2))
    load_model(model, dict(state_dict=model.state_dict()))
    other = random_swin()
    with pytest.raises(CheckpointError, match='is an unmerged LoRA'):
        load_model(other, dict(state_dict=model.state_dict()))
