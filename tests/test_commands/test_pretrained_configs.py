"""`init_cfg` of a config does it all; the run's log tells what it did."""

import re

import pytest
import torch

from helpers.command_line import CONFIG, error_of, run
from helpers.swin_files import classifier_file, random_swin, write_payload
from swin_dense.backbones import SwinTransformer3D
from swin_dense.checkpoints.layouts.export import export

TINY = dict(embed_dims=8, depths=(2, 1, 1, 1), num_heads=(1, 1, 2, 2))
V2 = (
    f"_delete_=True, type='swin_dense.SwinTransformerV2', arch={TINY}, "
    'window_size=4, '
)


def config(tmp_path, checkpoint, backbone: str = ''):
    """A config that starts the tiny detector from a checkpoint."""
    path = tmp_path / 'config.py'
    delete = '' if '_delete_' in backbone else '_delete_=True, '
    path.write_text(
        f"_base_ = '{CONFIG}'\n"
        f'model = dict(backbone=dict({backbone}init_cfg=dict('
        f"{delete}type='Pretrained', checkpoint='{checkpoint}')))\n"
    )
    return path


def train(tmp_path, *args) -> int:
    return run(
        'train',
        *args,
        '--work-dir',
        tmp_path / 'work',
        '--cfg-options',
        f'data_root={tmp_path / "shapes"}',
    )


@pytest.mark.parametrize('layout', ['official', 'timm', 'huggingface'])
def test_log_shows_the_report(tmp_path, capsys, layout):
    weights = random_swin(7, **TINY)
    content = classifier_file(weights)
    if layout != 'official':
        content = export(content['model'], layout)
    source = tmp_path / 'swin.pth'
    torch.save(content, source)
    assert train(tmp_path, config(tmp_path, source)) == 0
    report = 'bias tables 13x13 -> 7x7 in 5 blocks, bicubic'
    assert report in capsys.readouterr().out
    (log,) = (tmp_path / 'work').rglob('*.log')
    lines = [line for line in log.read_text().splitlines() if report in line]
    assert len(lines) == 1
    assert f'INFO - {source} (' in lines[0]
    assert '78 of 86 tensors loaded, 5 of them resized' in lines[0]


@pytest.mark.parametrize(
    'kind, backbone, message',
    [
        (
            'model',
            'depths=[2, 2, 1, 1], ',
            'is not for this model: .*layers.1.',
        ),
        ('model', 'mlp_ratio=2, ', 'have another shape .*mlp.fc1'),
        ('model', V2, 'holds Swin V1.*, the model is Swin V2'),
        ('video', '', 'holds Video Swin, the model is Swin V1'),
        ('unknown', '', 'Its first names: conv1'),
        ('truncated', '', 'It is truncated'),
        ('payload', '', 'is refused: besides weights'),
        ('absent', '', 'does not exist'),
    ],
)
def test_checkpoint_that_does_not_fit(
    tmp_path, capsys, kind, backbone, message
):
    source, trace = tmp_path / 'swin.pth', None
    torch.save(classifier_file(random_swin(**TINY)), source)
    if kind == 'video':
        torch.save(SwinTransformer3D(TINY).state_dict(), source)
    elif kind == 'unknown':
        torch.save(dict(conv1=torch.ones(1)), source)
    elif kind == 'truncated':
        source.write_bytes(source.read_bytes()[:-900])
    elif kind == 'payload':
        trace = write_payload(source)
    elif kind == 'absent':
        source.unlink()
    error = error_of(
        capsys, train(tmp_path, config(tmp_path, source, backbone))
    )
    assert re.search(message, error, re.DOTALL), error
    assert trace is None or not trace.exists()
    assert not list((tmp_path / 'work').rglob('*.pth'))


def test_images_into_clips_without_inflation(tmp_path):
    source = tmp_path / 'swin.pth'
    torch.save(classifier_file(random_swin(**TINY)), source)
    settings = dict(
        arch=TINY,
        window_size=(2, 7, 7),
        init_cfg=dict(type='Pretrained', checkpoint=str(source)),
    )
    model = SwinTransformer3D(pretrained2d=False, **settings)
    with pytest.raises(ValueError, match='pretrained2d=True'):
        model.init_weights()
    SwinTransformer3D(**settings).init_weights()
