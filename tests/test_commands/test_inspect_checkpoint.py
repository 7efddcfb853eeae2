"""swin-dense inspect: what a file is."""

import hashlib
import json

import pytest
import torch

from helpers.command_line import run
from helpers.swin_files import (
    CLASSES,
    classifier_file,
    detector_file,
    random_swin,
    write_payload,
)
from swin_dense.checkpoints.inspect_file import inspect_checkpoint
from swin_dense.checkpoints.layouts.export import export
from swin_dense.registry import MODELS


def inspect(path, tmp_path):
    out = tmp_path / 'info.json'
    assert run('inspect_checkpoint', path, '--out', out) == 0
    return json.loads(out.read_text())


def test_classifier(tmp_path, capsys):
    path = tmp_path / 'mine.pth'
    torch.save(classifier_file(random_swin()), path)
    info = inspect(path, tmp_path)
    assert info['sha256'] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info['source'] == 'Microsoft classifier'
    assert info['family'] == 'v1'
    assert (info['window'], info['window_from']) == ([7, 7], 'bias tables')
    # 8 x 8 windows of 7 x 7 patches of 4 x 4 pixels
    assert info['resolution'] == [224, 224]
    assert info['resolution_from'] == 'attention mask'
    assert (info['epoch'], info['iteration']) == (299, None)
    assert info['classes'] == dict(
        count=10, names=None, how='shape of head.weight'
    )
    assert info['besides'] == {
        'optimizer': '1 tensor, 0.0 MB',
        'max_accuracy': '81.2',
    }
    # Norm and head, the index of each block, and a mask.
    assert info['backbone_tensors'] == 104
    assert info['tensors'] == 104 + 4 + 7 + 1
    assert info['dtypes'] == {'float32': 108}
    out = capsys.readouterr().out
    for line in (
        '  source      Microsoft classifier\n',
        '  window      7 x 7 tokens (bias tables)\n',
        '  resolution  224 x 224 pixels (attention mask)\n',
        '  training    epoch 299\n',
        '  classes     10 (shape of head.weight)\n',
    ):
        assert line in out


def test_detector(tmp_path, capsys):
    path = tmp_path / 'mine.pth'
    torch.save(
        detector_file(export(random_swin(5).state_dict(), 'mmdet')), path
    )
    info = inspect(path, tmp_path)
    assert info['source'] == 'mmdet/mmseg detector'
    assert info['window'] == [5, 5]
    assert (info['epoch'], info['iteration']) == (12, 90)
    assert info['classes']['names'] == list(CLASSES)
    out = capsys.readouterr().out
    assert '  training    epoch 12, iteration 90\n' in out
    assert '  classes     3: circle, square, triangle (meta data)\n' in out
    assert 'resolution' not in out


def test_classes_by_the_shape_of_the_head(tmp_path):
    path = tmp_path / 'mine.pth'
    content = detector_file(random_swin().state_dict())
    del content['meta']
    torch.save(content, path)
    assert inspect_checkpoint(path)['classes']['count'] == 3


@pytest.mark.parametrize(
    'name, pixels',
    [
        ('swin_base_patch4_window12to24_192to384_22kto1k_ft', [384, 384]),
        ('swin_base_patch4_window12_384_22k', [384, 384]),
        ('simmim_pretrain__swin_base__img192_window6__800ep', [192, 192]),
        ('swin_large_in21k-384px_20220307-1bbaee6a', [384, 384]),
        ('mask_rcnn_swin_20210526_192015', None),
    ],
)
def test_guesses_are_labelled(tmp_path, name, pixels):
    path = tmp_path / f'{name}.pth'
    torch.save(random_swin().state_dict(), path)
    info = inspect_checkpoint(path)
    assert info['resolution'] == pixels
    if pixels:
        assert info['resolution_from'] == 'a guess from the file name'
    assert (info['window'], info['window_from']) == ([7, 7], 'bias tables')


def test_official_config(tmp_path):
    path = tmp_path / 'swin_384.pth'
    content = classifier_file(random_swin())
    content['config'] = dict(DATA=dict(IMG_SIZE=256))
    torch.save(content, path)
    info = inspect_checkpoint(path)
    assert info['resolution'] == [256, 256]
    assert info['resolution_from'] == 'its config'
    assert info['besides']['config'] == '1 entries'


def test_hash_in_the_name(tmp_path, capsys):
    for digits, text in (('01234567', 'NOT as in the name'), ('', 'sha256')):
        path = tmp_path / 'a.pth'
        torch.save(random_swin().state_dict(), path)
        digits = digits or hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        path = path.rename(tmp_path / f'swin-{digits}.pth')
        assert inspect(path, tmp_path)['hash_in_name'] is ('NOT' not in text)
        assert text in capsys.readouterr().out


def test_printed_config_can_be_pasted(tmp_path, capsys):
    path = tmp_path / 'a.pth'
    torch.save(random_swin().state_dict(), path)
    inspect(path, tmp_path)
    line = capsys.readouterr().out.split('use it as')[1].splitlines()[0]
    config = eval(line.strip().removeprefix('backbone='))
    backbone = MODELS.build(config)
    backbone.init_weights()
    stored = torch.load(path)
    assert torch.equal(
        backbone.layers[2].blocks[1].mlp.fc1.weight,
        stored['layers.2.blocks.1.mlp.fc1.weight'],
    )


def test_safetensors(tmp_path):
    safetensors = pytest.importorskip(
        'safetensors.torch', reason='safetensors is not installed'
    )
    path = tmp_path / 'model.safetensors'
    weights = export(random_swin().state_dict(), 'huggingface')
    safetensors.save_file(weights, path, metadata={'format': 'pt'})
    info = inspect(path, tmp_path)
    assert info['container'] == 'safetensors'
    assert info['source'].startswith('Hugging Face')


def test_errors(tmp_path, capsys):
    path, out = tmp_path / 'a.pth', tmp_path / 'info.json'
    torch.save(dict(conv1=torch.ones(1)), path)
    assert run('inspect_checkpoint', path, '--out', out) == 1
    assert 'Its first names: conv1. Known are' in capsys.readouterr().err
    trace = write_payload(path)
    assert run('inspect_checkpoint', path, '--out', out) == 1
    assert 'is refused' in capsys.readouterr().err
    assert run('inspect_checkpoint', tmp_path / 'no.pth', '--out', out) == 1
    assert 'no.pth does not exist' in capsys.readouterr().err
    assert not trace.exists() and not out.exists()


@pytest.mark.parametrize('name', ['inspect', 'convert'])
def test_help_ends_with_an_example(name, capsys):
    with pytest.raises(SystemExit) as stop:
        run(f'{name}_checkpoint', '--help')
    assert stop.value.code == 0
    assert f'example:\n  swin-dense {name} ' in capsys.readouterr().out
