"""swin-dense convert, there and back, and what it refuses."""

import hashlib

import pytest
import torch
from mmengine.config import ConfigDict

from helpers.command_line import error_of, run
from helpers.swin_files import (
    CLASSES,
    classifier_file,
    detector_file,
    random_swin,
    write_payload,
)
from swin_dense.backbones import (
    SwinTransformer,
    SwinTransformer3D,
    SwinTransformerV2,
)
from swin_dense.checkpoints.files.metadata import metadata_of
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.checkpoints.files.write import write_checkpoint
from swin_dense.checkpoints.layouts.export import export
from swin_dense.checkpoints.layouts.translate import extract_state_dict
from swin_dense.checkpoints.load import load_backbone
from swin_dense.ops import log_coordinates

IMAGE_TARGETS = (
    'official',
    'mmdet',
    'mmseg',
    'mmpretrain',
    'timm',
    'torchvision',
    'huggingface',
)


@pytest.fixture
def model():
    return random_swin()


@pytest.fixture
def source(model, tmp_path):
    path = tmp_path / 'swin_patch4_window7_224.pth'
    torch.save(classifier_file(model), path)
    return path


def convert(*args) -> int:
    return run('convert_checkpoint', *args)


def same(left: dict, right: dict) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype
        and torch.equal(left[name], right[name])
        for name in left
    )


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('target', IMAGE_TARGETS)
def test_there_and_back(source, tmp_path, target, suffix):
    if suffix == '.safetensors':
        pytest.importorskip('safetensors', reason='safetensors is absent')
    there, back = tmp_path / f'there{suffix}', tmp_path / f'back{suffix}'
    assert convert(source, there, '--to', target) == 0
    assert convert(there, back, '--to', 'official') == 0
    expected = {
        name: value
        for name, value in torch.load(source)['model'].items()
        if not name.endswith(('index', 'mask'))
        and not (
            target in ('mmdet', 'mmseg')
            and name.startswith(('norm.', 'head.'))
        )
    }
    assert same(extract_state_dict(read_checkpoint(back)), expected)


def test_layouts(source, tmp_path):
    tops = {}
    for target in IMAGE_TARGETS:
        path = tmp_path / f'{target}.pth'
        assert convert(source, path, '--to', target) == 0
        result = read_checkpoint(path)
        tops[target] = (
            sorted(result) if len(result) < 3 else next(iter(result))
        )
    assert tops == dict(
        official=['meta', 'model'],
        mmdet=['meta', 'state_dict'],
        mmseg=['meta', 'state_dict'],
        mmpretrain=['meta', 'state_dict'],
        timm=['meta', 'state_dict'],
        torchvision='features.0.0.weight',
        huggingface='swin.embeddings.patch_embeddings.projection.weight',
    )
    weights = read_checkpoint(tmp_path / 'mmpretrain.pth')['state_dict']
    assert {name.split('.')[0] for name in weights} == {'backbone', 'head'}


def test_metadata(source, tmp_path):
    for target in ('timm', 'torchvision'):
        path = tmp_path / f'{target}.pth'
        assert convert(source, path, '--to', target) == 0
        recorded = metadata_of(read_checkpoint(path))
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        assert recorded.pop('tool').startswith('convert_checkpoint 0.')
        assert recorded == dict(
            source='swin_patch4_window7_224.pth',
            source_sha256=digest,
            source_format='Microsoft classifier',
            target=target,
            window=[7, 7],
        )


def test_metadata_of_an_earlier_step(model, tmp_path):
    source, path = tmp_path / 'a.pth', tmp_path / 'b.pth'
    write_checkpoint(source, model.state_dict(), dict(method='geometric'))
    assert convert(source, path, '--to', 'mmdet') == 0
    recorded = metadata_of(read_checkpoint(path))
    assert (recorded['method'], recorded['source']) == ('geometric', 'a.pth')


def test_printed_lists(source, tmp_path, capsys):
    path = tmp_path / 'new.pth'
    assert convert(source, path, '--to', 'mmdet', '--dry-run') == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f'{source}: Microsoft classifier, a Swin')
    assert [line[:22] for line in out[1:6]] == [
        '  loaded           104',
        '  resized            0',
        '  dropped by rule   12',
        '  missing            0',
        '  unexpected         0',
    ]
    assert 'layers.*.blocks.*.attn.relative_position_index (7)' in out[3]
    assert out[-1] == f'{path}: not written (--dry-run)'
    assert not path.exists()
    assert convert(source, path, '--to', 'mmdet', '--verbose') == 0
    out = capsys.readouterr().out
    assert '\n      layers.3.blocks.0.attn.qkv.weight\n' in out
    assert f'sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}' in out
    assert 'peak memory' in out


@pytest.mark.parametrize('target', ['official', 'mmdet', 'mmseg'])
def test_whole_model_keeps_its_heads(model, tmp_path, target):
    source, path = tmp_path / 'a.pth', tmp_path / 'b.pth'
    back = tmp_path / 'c.pth'
    content = detector_file(export(model.state_dict(), 'mmdet'))
    torch.save(content, source)
    assert convert(source, path, '--to', target) == 0
    assert convert(path, back, '--to', 'mmdet') == 0
    result = read_checkpoint(path)
    stage = 'layers' if target == 'official' else 'stages'
    assert any(
        n.startswith(f'backbone.{stage}.') for n in result['state_dict']
    )
    assert 'roi_head.bbox_head.fc_cls.bias' in result['state_dict']
    assert tuple(result['meta']['dataset_meta']['classes']) == CLASSES
    assert result['meta']['epoch'] == 12
    assert same(read_checkpoint(back)['state_dict'], content['state_dict'])


def test_heads_that_a_target_does_not_know(model, tmp_path, capsys):
    source, path = tmp_path / 'a.pth', tmp_path / 'b.pth'
    torch.save(detector_file(model.state_dict()), source)
    assert convert(source, path, '--to', 'timm') == 0
    out = capsys.readouterr().out
    # Three tensors around the backbone, and four norms of outputs.
    assert 'dropped by rule   11  neck.lateral_convs.0.conv.weight' in out
    weights = read_checkpoint(path)['state_dict']
    assert 'layers.1.downsample.norm.weight' in weights
    assert not any(name.startswith(('roi', 'norm')) for name in weights)


def test_mmdet_takes_the_file(model, source, tmp_path):
    """Without a flag of theirs, and with the same outputs."""
    mmdet = pytest.importorskip('mmdet.models.backbones.swin')
    path = tmp_path / 'mmdet.pth'
    assert convert(source, path, '--to', 'mmdet') == 0
    reference = mmdet.SwinTransformer(
        embed_dims=8,
        depths=(2, 2, 2, 1),
        num_heads=(1, 1, 2, 2),
        init_cfg=ConfigDict(type='Pretrained', checkpoint=str(path)),
    )
    reference.init_weights()
    output = SwinTransformer(
        embed_dims=8, depths=(2, 2, 2, 1), num_heads=(1, 1, 2, 2)
    )
    load_backbone(output, source)
    image = torch.randn(1, 3, 60, 52)
    output.eval()
    reference.eval()
    with torch.no_grad():
        for custom, other in zip(output(image), reference(image)):
            torch.testing.assert_close(custom, other, atol=1e-5, rtol=1e-5)


def test_windows_that_only_buffers_tell_are_recorded(tmp_path):
    """Swin V2 divides its offsets by them; no other layout keeps them."""
    sizes = dict(arch=dict(embed_dims=8, depths=(2, 1), num_heads=(1, 2)))
    content = SwinTransformerV2(**sizes, out_indices=(0, 1)).state_dict()
    for stage, window in enumerate((6, 3)):
        table = log_coordinates((8, 8), (window, window))
        content[f'layers.{stage}.blocks.0.attn.relative_coords_table'] = (
            table.unflatten(0, (15, 15))[None]
        )
    source, path = tmp_path / 'a.pth', tmp_path / 'b.pth'
    torch.save(content, source)
    assert convert(source, path, '--to', 'huggingface') == 0
    result = read_checkpoint(path)
    assert not any(name.endswith('coords_table') for name in result)
    assert metadata_of(result)['pretrained_window_sizes'] == [[6, 6], [3, 3]]
    # Nor is it lost when the file without buffers is converted again.
    assert convert(path, source, '--to', 'mmpretrain', '--force') == 0
    model = SwinTransformerV2(**sizes, out_indices=(0, 1), window_size=12)
    report = load_backbone(model, source)
    assert 'log-MLP of 6x6 windows evaluated for 12x12' in report.summary()


def test_video(tmp_path, capsys):
    backbone = SwinTransformer3D(
        dict(embed_dims=8, depths=(2, 1), num_heads=(1, 2)),
        window_size=(4, 3, 3),
        out_indices=(1,),
    )
    content = {f'backbone.{k}': v for k, v in backbone.state_dict().items()}
    content['cls_head.fc_cls.weight'] = torch.randn(5, 16)
    source, path = tmp_path / 'a.pth', tmp_path / 'b.pth'
    torch.save(dict(state_dict=content), source)
    assert convert(source, path, '--to', 'official') == 0
    result = read_checkpoint(path)['state_dict']
    assert 'backbone.norm.weight' in result  # official: of the last output
    assert convert(path, source, '--to', 'mmaction', '--force') == 0
    assert same(read_checkpoint(source)['state_dict'], content)
    error = error_of(
        capsys, convert(source, tmp_path / 'c.pth', '--to', 'mmdet')
    )
    assert 'mmdet has no Video Swin' in error
    assert 'expected one of official, mmaction' in error


def test_existing_file(source, tmp_path, capsys):
    path = tmp_path / 'new.pth'
    path.write_bytes(b'precious')
    error = error_of(capsys, convert(source, path, '--to', 'timm'))
    assert f'{path} exists: give another path, or --force' in error
    assert path.read_bytes() == b'precious'
    assert convert(source, path, '--to', 'timm', '--dry-run') == 0
    assert path.read_bytes() == b'precious'
    assert convert(source, path, '--to', 'timm', '--force') == 0
    assert 'state_dict' in read_checkpoint(path)


def test_destinations(source, tmp_path, capsys):
    content = source.read_bytes()
    error = error_of(
        capsys, convert(source, source, '--to', 'timm', '--force')
    )
    assert 'is SRC itself' in error
    assert source.read_bytes() == content
    error = error_of(
        capsys, convert(source, tmp_path / 'a.onnx', '--to', 'timm')
    )
    assert 'end the name in .safetensors' in error
    error = error_of(
        capsys, convert(source, tmp_path / 'no/a.pth', '--to', 'timm')
    )
    assert f'there is no folder {tmp_path}/no' in error
    assert [p.name for p in tmp_path.iterdir()] == [source.name]


def test_unknown_target(source, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        convert(source, tmp_path / 'a.pth', '--to', 'keras')
    assert stop.value.code == 2
    assert 'torchvision' in capsys.readouterr().err


def test_target_without_such_models(source, tmp_path, capsys):
    error = error_of(
        capsys, convert(source, tmp_path / 'a.pth', '--to', 'mmaction')
    )
    assert 'mmaction has no ' in error
    assert 'expected one of official, mmdet, mmseg, mmpretrain' in error
    assert not (tmp_path / 'a.pth').exists()


def test_incomplete_backbone(model, source, tmp_path, capsys):
    content = torch.load(source)
    del content['model']['layers.2.blocks.1.attn.qkv.bias']
    del content['model']['layers.1.downsample.norm.weight']
    content['model']['layers.1.blocks.0.gate'] = torch.ones(1)
    torch.save(content, source)
    path = tmp_path / 'a.pth'
    assert convert(source, path, '--to', 'timm') == 1
    printed = capsys.readouterr()
    assert '  missing            2  ' in printed.out
    assert '  unexpected         1  layers.1.blocks.0.gate' in printed.out
    assert '2 of 108 tensors of the model are not in the file' in printed.err
    assert 'layers.2.blocks.1.attn.qkv.bias' in printed.err
    assert not path.exists()
    assert (
        convert(
            source,
            path,
            '--to',
            'timm',
            '--forgive',
            '*.qkv.bias',
            'layers.1.*',
        )
        == 0
    )
    weights = read_checkpoint(path)['state_dict']
    assert 'layers.1.blocks.0.gate' not in weights
    assert 'layers.2.blocks.0.attn.qkv.bias' in weights


@pytest.mark.parametrize(
    'kind', ['unknown', 'empty', 'truncated', 'page', 'absent', 'folder']
)
def test_other_files(source, tmp_path, capsys, kind):
    path, message = source, ''
    if kind == 'unknown':
        torch.save(dict(conv1=torch.ones(1), fc=torch.ones(1)), source)
        message = 'Its first names: conv1, fc. Known are the names of'
    elif kind == 'empty':
        torch.save(dict(state_dict={}), source)
        message = 'it holds no tensors'
    elif kind == 'truncated':
        source.write_bytes(source.read_bytes()[:-1000])
        message = 'It is truncated'
    elif kind == 'page':
        source.write_text('<!DOCTYPE html><html>')
        message = 'is a web page'
    elif kind == 'absent':
        path, message = tmp_path / 'absent.pth', 'does not exist'
    else:
        path, message = tmp_path, 'is a folder'
    assert message in error_of(
        capsys, convert(path, tmp_path / 'a.pth', '--to', 'timm')
    )
    assert [p.name for p in tmp_path.iterdir()] == [source.name]


def test_nothing_is_executed(tmp_path, capsys):
    source = tmp_path / 'evil.pth'
    trace = write_payload(source)
    error = error_of(
        capsys, convert(source, tmp_path / 'a.pth', '--to', 'timm')
    )
    assert 'evil.pth is refused: besides weights it holds' in error
    assert not trace.exists() and not (tmp_path / 'a.pth').exists()


def test_disk_that_is_full(source, tmp_path, capsys, monkeypatch):

    def fail(content, file):
        file.write(b'half')
        raise OSError('No space left on device')

    monkeypatch.setattr(torch, 'save', fail)
    error = error_of(
        capsys, convert(source, tmp_path / 'a.pth', '--to', 'timm')
    )
    assert 'No space left' in error
    assert [p.name for p in tmp_path.iterdir()] == [source.name]
