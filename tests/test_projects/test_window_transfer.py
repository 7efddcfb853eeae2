"""projects/window_transfer: the whole experiment, for a few iterations."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger

from swin_dense.checkpoints import read_checkpoint
from swin_dense.checkpoints.position import resize_bias_table

PROJECT = Path(__file__).parents[2] / 'projects' / 'window_transfer'
TABLE = 'backbone.layers.1.blocks.1.attn.relative_position_bias_table'
spec = importlib.util.spec_from_file_location(
    'window_transfer', PROJECT / 'run.py'
)
transfer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(transfer)
ZERO, LOG_CPB = (
    next(variant for variant in transfer.VARIANTS if text in variant.title)
    for text in ('zero', 'log-CPB')
)


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    """A folder with an experiment of two iterations each, in two variants."""
    root = tmp_path_factory.mktemp('window_transfer')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, 'VARIANTS', (ZERO, LOG_CPB))
        patch.setattr(transfer, 'SMALL', (64, 4))
        patch.setattr(transfer, 'LARGE', (128, 8))
        # Most of the time of a dozen such runs is the layout of configs.
        patch.setattr(
            'mmengine.config.config.FormatCode', lambda text, **_: (text, True)
        )
        assert run(root) == 0
        yield root


def run(root):
    # Loggers of earlier runs write to streams that pytest has closed.
    MMLogger._instance_dict.clear()
    data = [
        f'{loader}_dataloader.{key}'
        for loader, count in (('train', 4), ('val', 2), ('test', 2))
        for key in (
            'num_workers=0',
            'persistent_workers=False',
            f'dataset.generate.num_images={count}',
        )
    ]
    threads = torch.get_num_threads()
    try:
        return transfer.main(
            [
                '--seeds',
                '3',
                '--work-dir',
                str(root / 'work'),
                '--iterations',
                '2',
                '--brief',
                '2',
                '--processes',
                '1',
                '--debug',
                '--cfg-options',
                f'data_root={root}/shapes',
                'train_dataloader.batch_size=1',
                *data,
            ]
        )
    finally:
        torch.set_num_threads(threads)


def load(path):
    return read_checkpoint(path)


def test_results_of_every_variant_and_column(workspace):
    results = json.loads((workspace / 'work' / 'results.json').read_text())
    assert list(results) == ['3']
    assert list(results['3']) == ['V1, tables set to zero', 'V2, log-CPB']
    for columns in results['3'].values():
        assert list(columns) == list(transfer.COLUMNS)
        for metrics in columns.values():
            assert 'coco/bbox_mAP' in metrics
            assert 'coco/segm_mAP' not in metrics
    table = (workspace / 'work' / 'table.md').read_text()
    assert table.startswith('| weights | 128 px, as trained |')
    assert '| V2, log-CPB |' in table


@pytest.mark.parametrize(
    'variant', transfer.VARIANTS[1:4], ids=lambda variant: variant.method
)
def test_tables_are_those_of_the_method(variant, workspace, tmp_path):
    source = workspace / 'work' / 'seed_3' / 'V1' / 'iter_2.pth'
    path = transfer.with_tables(
        source, variant, tmp_path / 'new' / 'start.pth'
    )
    before, after = (load(path)['state_dict'] for path in (source, path))
    if variant.method == 'zero':
        expected = torch.zeros(15 * 15, 2)
    else:
        expected = resize_bias_table(before[TABLE], 4, 8, variant.method)
    torch.testing.assert_close(after.pop(TABLE), expected, rtol=0, atol=0)
    same = [name for name in after if not name.endswith(transfer.TABLE)]
    assert len(same) > 100
    for name in same:
        assert torch.equal(after[name], before[name])


def test_v2_reads_offsets_by_the_window_of_its_training(workspace):
    meta = load(workspace / 'work/seed_3/V2_log-CPB/iter_2.pth')['meta']
    assert meta['swin_dense'] == dict(
        window_sizes=[[8, 8]] * 3, pretrained_window_sizes=[[4, 4]] * 3
    )


def test_what_is_finished_is_not_done_again(workspace, monkeypatch):
    monkeypatch.delattr(transfer, 'build_runner')
    before = (workspace / 'work' / 'table.md').read_text()
    (workspace / 'work' / 'table.md').unlink()
    assert run(workspace) == 0
    assert (workspace / 'work' / 'table.md').read_text() == before


@pytest.mark.parametrize('model', transfer.MODELS)
def test_sizes_differ_where_they_should(model, tmp_path):
    plan = transfer.Plan(tmp_path, 2, 2, 1e-4, 1, {})
    models = []
    for size, window in ((128, 4), (256, 8)):
        cfg = transfer.make_config(plan, model, size, window, tmp_path)
        assert cfg.train_dataloader.dataset.pipeline[2]['scale'] == (
            size,
            size,
        )
        assert cfg.test_dataloader.dataset.pipeline[1]['scale'] == (size, size)
        assert cfg.model.backbone.pop('window_size') == window
        assert cfg.model.rpn_head.anchor_generator.pop('scales') == [window]
        models.append(cfg.model)
    assert models[0] == models[1]


@pytest.mark.parametrize(
    'values, cell', [((0.2, 0.3), '0.250 ± 0.050'), ((0.2,), '0.200')]
)
def test_table_of_seeds(values, cell):
    results = [
        {
            'way': {
                column: {transfer.METRIC: value} for column in transfer.COLUMNS
            }
        }
        for value in values
    ]
    last = transfer.format_table(results).splitlines()[-1]
    assert last == '| way | ' + ' | '.join([cell] * 4) + ' |'
