"""Archives with a file for each process of a training of Swin-MoE."""

import re
import tempfile
import zipfile

import pytest
import torch

from helpers import moe_files
from helpers.folders import files_under
from helpers.swin_files import Payload
from swin_dense.checkpoints.convert import convert_checkpoint
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.checkpoints.format_info import format_info
from swin_dense.checkpoints.inspect_file import inspect_checkpoint
from swin_dense.checkpoints.load import load_backbone

STEM = moe_files.STEM
NAME = f'{STEM}/{STEM}.pth'


def archive(folder, experts=4, ranks=4, legacy=True, **kwargs):
    """Return a backbone, and an archive with its weights."""
    model = moe_files.make(experts, **kwargs)
    files = moe_files.contents(
        moe_files.classifier(model), ranks, legacy=legacy
    )
    return model, moe_files.write_zip(folder / f'{STEM}.zip', files), files


@pytest.mark.parametrize('legacy', [True, False])
@pytest.mark.parametrize(
    'experts, ranks', [(4, 4), (8, 4), (4, 8), (2, 8), (4, 1)]
)
def test_experts_are_joined(tmp_path, experts, ranks, legacy):
    source, path, _ = archive(tmp_path, experts, ranks, legacy)
    model = moe_files.make(experts)
    report = load_backbone(model, path)
    assert report.source_format == 'Microsoft classifier'
    assert all(name.startswith('norm') for name in report.missing)
    assert not report.unexpected
    expected = source.state_dict()
    for name, value in model.state_dict().items():
        if not name.startswith('norm'):
            assert torch.equal(value, expected[name]), name
    assert len(report.loaded) == len(expected) - 6
    # The last stage was trained with windows as small as its map.
    assert model.layers[2].blocks[0].attn.pretrained_window_size == (2, 2)
    assert model.layers[0].blocks[0].attn.pretrained_window_size == (3, 3)


def test_cosine_router_and_dense_baseline(tmp_path):
    settings = dict(cosine_router=True, cosine_router_dim=5)
    source, path, _ = archive(tmp_path, **settings)
    model = moe_files.make(**settings)
    load_backbone(model, path)
    gate = 'layers.2.blocks.1.mlp._moe_layer.gates.0.sim_matrix'
    assert torch.equal(model.state_dict()[gate], source.state_dict()[gate])

    dense = moe_files.make(0)
    content = dict(model=moe_files.classifier(dense))
    path = moe_files.write_zip(
        tmp_path / 'dense.zip', {f'{NAME}.global': moe_files.to_bytes(content)}
    )
    model = moe_files.make(0)
    report = load_backbone(model, path)
    assert len(report.missing) == 6
    name = 'layers.1.blocks.1.mlp.fc2.weight'
    assert torch.equal(model.state_dict()[name], dense.state_dict()[name])


def test_bias_of_the_second_layer(tmp_path):
    """A trained bias is in the files of all processes."""
    source = moe_files.make(4, mlp_fc2_bias=True)
    weights = moe_files.classifier(source)
    files = moe_files.contents(weights, 8)
    name = 'layers.1.blocks.1.mlp._moe_layer.experts.batched_fc2_bias'
    for rank in range(8):
        content, _ = moe_files.split(weights, 8)
        part = content[rank]
        for key, value in weights.items():
            if key.endswith('batched_fc2_bias'):
                half = value.shape[1] // 2
                start = half * (rank % 2)
                part[key] = value[rank // 2, None, start : start + half]
        files[f'{NAME}.rank{rank}'] = moe_files.to_bytes(dict(model=part))
    path = moe_files.write_zip(tmp_path / 'a.zip', files)
    model = moe_files.make(4, mlp_fc2_bias=True)
    load_backbone(model, path)
    assert torch.equal(model.state_dict()[name], weights[name])


def test_unpacked_files(tmp_path):
    source, _, files = archive(tmp_path)
    for name, content in files.items():
        (tmp_path / name.rpartition('/')[2]).write_bytes(content)
    for ending in ('master', 'rank2'):
        model = moe_files.make()
        load_backbone(model, tmp_path / f'{STEM}.pth.{ending}')
        for name, value in source.state_dict().items():
            if not name.startswith('norm'):
                assert torch.equal(model.state_dict()[name], value), name
    (tmp_path / f'{STEM}.pth.rank1').unlink()
    with pytest.raises(CheckpointError, match=r'lacks 1 .*\.rank1'):
        read_checkpoint(tmp_path / f'{STEM}.pth.master')


def test_inspect_and_convert(tmp_path):
    _, path, _ = archive(tmp_path, experts=8)
    info = inspect_checkpoint(path)
    assert info['container'] == '5 files of torch.save'
    assert info['arch'].endswith('heads 1-2-2, 8 experts)')
    assert info['epoch'] == 89
    settings = dict(info['backbone'])
    assert settings == dict(
        type='swin_dense.SwinMoE',
        arch=moe_files.SIZES,
        out_indices=(0, 1, 2),
        window_size=3,
        num_experts=8,
        pretrained_window_sizes=((3, 3), (3, 3), (2, 2)),
    )
    assert 'num_experts=8' in format_info(info)
    converted = convert_checkpoint(read_checkpoint(path), 'official')
    assert converted.checkpoint.keys() == {'meta', 'model'}
    model = moe_files.make(8)
    torch.save(converted.checkpoint, tmp_path / 'whole.pth')
    assert not load_backbone(model, tmp_path / 'whole.pth').unexpected
    with pytest.raises(CheckpointError, match='timm has no Swin-MoE'):
        convert_checkpoint(read_checkpoint(path), 'timm')


def changed(files, gone=(), **more):
    kept = {k: v for k, v in files.items() if not k.endswith(tuple(gone))}
    return {**kept, **more}


@pytest.mark.parametrize(
    'gone, message',
    [
        (('.rank1', '.rank2'), r'lacks 2 of the files with experts: .*rank1'),
        (('.master',), r'lacks .*\.master, the file with all parameters'),
        (('.rank3',), r'choose from 4 experts, and 3 files hold 3 of'),
        (
            tuple(f'.rank{i}' for i in range(4)),
            'there is no file that holds them',
        ),
    ],
)
def test_absent_files(tmp_path, gone, message):
    _, _, files = archive(tmp_path)
    path = moe_files.write_zip(tmp_path / 'a.zip', changed(files, gone))
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_half_of_the_processes_that_share_experts(tmp_path):
    _, _, files = archive(tmp_path, experts=4, ranks=8)
    gone = [f'.rank{i}' for i in range(4, 8)]
    path = moe_files.write_zip(tmp_path / 'a.zip', changed(files, gone))
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    assert 'of 4 files has 4 experts of 32 hidden channels' in str(error.value)
    assert 'expected 64' in str(error.value)


def test_files_of_other_models(tmp_path):
    _, path, files = archive(tmp_path)
    other = moe_files.contents(
        moe_files.classifier(moe_files.make(4, mlp_ratio=2)), 4
    )
    rank = f'{NAME}.rank1'
    mixed = changed(files, **{rank: other[rank]})
    path = moe_files.write_zip(tmp_path / 'a.zip', mixed)
    with pytest.raises(CheckpointError, match='has other shapes in some'):
        read_checkpoint(path)
    part = dict(model={'x._moe_layer.experts.batched_fc1_w': torch.ones(1)})
    mixed = changed(files, **{rank: moe_files.to_bytes(part)})
    path = moe_files.write_zip(tmp_path / 'a.zip', mixed)
    with pytest.raises(CheckpointError, match='rank 1 holds experts of 1 bl'):
        read_checkpoint(path)
    two = {**files, **moe_files.contents({}, 1, stem='other')}
    path = moe_files.write_zip(tmp_path / 'a.zip', two)
    with pytest.raises(CheckpointError, match='files of several models'):
        read_checkpoint(path)
    path = moe_files.write_zip(tmp_path / 'a.zip', {**files, 'x.py': b''})
    with pytest.raises(CheckpointError, match=r'not expected .*x\.py'):
        read_checkpoint(path)
    model = moe_files.make(8)
    _, path, _ = archive(tmp_path)
    with pytest.raises(CheckpointError) as error:
        load_backbone(model, path)
    assert '4 experts)' in str(error.value)
    assert '8 experts)' in str(error.value)


@pytest.mark.parametrize(
    'stem', ['../../evil', '/tmp/evil', 'a/../../evil', '..\\evil']
)
def test_names_in_the_archive_are_no_paths(tmp_path, monkeypatch, stem):
    private = tmp_path / 'private'
    private.mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(private))
    source = moe_files.make()
    folder = tmp_path / 'a' / 'b'
    folder.mkdir(parents=True)
    parts, master = moe_files.split(moe_files.classifier(source), 4)
    files = {
        f'{stem}.pth.rank{i}': moe_files.to_bytes(dict(model=part))
        for i, part in enumerate(parts)
    }
    files[f'{stem}.pth.master'] = moe_files.to_bytes(dict(model=master))
    path = moe_files.write_zip(folder / 'a.zip', files)
    before = files_under(tmp_path)
    load_backbone(moe_files.make(), path)
    assert files_under(tmp_path) == before  # nothing is left
    assert not list(private.iterdir())


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv('SWIN_DENSE_MAX_UNPACKED_GB', '0.001')
    _, _, files = archive(tmp_path)
    zeros = moe_files.to_bytes(dict(model={'x': torch.zeros(1_000_000)}))
    path = moe_files.write_zip(
        tmp_path / 'a.zip', changed(files, **{f'{NAME}.rank0': zeros})
    )
    with pytest.raises(CheckpointError, match='refused: it unpacks to'):
        read_checkpoint(path)
    # Compressed twice: each archive for itself is within the limit.
    monkeypatch.setenv('SWIN_DENSE_MAX_UNPACKED_GB', '0.005')
    part = moe_files.write_zip(tmp_path / 'part', unpacked(zeros))
    files = {f'{NAME}.rank{i}': part.read_bytes() for i in range(4)}
    files[f'{NAME}.master'] = part.read_bytes()
    path = moe_files.write_zip(tmp_path / 'a.zip', files)
    assert path.stat().st_size < 50_000
    with pytest.raises(CheckpointError, match='refused: its files unpack to'):
        read_checkpoint(path)


def unpacked(content):
    """The entries of a file of torch.save."""
    import io

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_damaged_and_hostile_files_are_named(tmp_path):
    _, path, files = archive(tmp_path)
    broken = changed(files, **{f'{NAME}.rank2': b'nonsense'})
    moe_files.write_zip(path, broken)
    with pytest.raises(
        CheckpointError, match=rf'its file {re.escape(NAME)}\.rank2 \('
    ):
        read_checkpoint(path)
    trace = tmp_path / 'trace'
    bad = moe_files.to_bytes(dict(model=Payload(trace)))
    moe_files.write_zip(path, changed(files, **{f'{NAME}.rank0': bad}))
    with pytest.raises(CheckpointError, match=r'rank0 is refused: .*pathlib'):
        read_checkpoint(path)
    assert not trace.exists()
    moe_files.write_zip(path, files, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    part = files[f'{NAME}.rank2']
    start = content.index(part)
    content[start + len(part) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r'its record .*\.rank2: Bad CRC'
    ):
        read_checkpoint(path)
    # The last bytes are the end of an archive, that of rank 2.
    path.write_bytes(bytes(content[: start + len(part)]))
    with pytest.raises(CheckpointError, match='of a part of the file alone'):
        read_checkpoint(path)
