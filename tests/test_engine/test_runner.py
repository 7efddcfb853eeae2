"""Checkpoints of a training run: strict, resumable, never half written."""

import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from torch import nn

from helpers import training
from helpers.saved_runs import assert_same_state, copy_checkpoint, names
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.engine.runner import DenseRunner
from swin_dense.engine.training_curves import read_scalars


class Count(BaseMetric):
    """The number of batches, whatever is in them."""

    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        return dict(count=len(results))


class Predicting(training.Line):
    """Returns something to evaluate."""

    def forward(self, points, targets, mode='loss'):
        if mode == 'predict':
            return [dict()]
        return super().forward(points, targets, mode)


VALIDATED = dict(
    train_cfg=dict(type='IterBasedTrainLoop', max_iters=20, val_interval=8),
    val_cfg=dict(type='ValLoop'),
    val_evaluator=[Count()],
    val_dataloader=dict(
        dataset=training.Points(),
        batch_size=8,
        num_workers=0,
        collate_fn=dict(type='default_collate'),
        sampler=dict(type='DefaultSampler', shuffle=False),
    ),
)


def test_runs_of_one_second_share_nothing(tmp_path, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, 'time', lambda: now)
    runs, scopes = [], []
    for place, scope in (('a', 'mmdet'), ('a', 'mmseg'), ('b', 'mmdet')):
        runs.append(training.runner(tmp_path / place, default_scope=scope))
        scopes.append(DefaultScope.get_current_instance().scope_name)
    assert scopes == ['mmdet', 'mmseg', 'mmdet']
    for values in (
        {run.experiment_name for run in runs},
        {run.logger.log_file for run in runs},
        {id(run.message_hub) for run in runs},
        {id(run.visualizer) for run in runs},
    ):
        assert len(values) == 3


def test_resumed_training_equals_training_in_one_go(reference, tmp_path):
    copy_checkpoint(reference / 'iter_10.pth', tmp_path / 'iter_10.pth', age=0)
    keep_all = dict(max_keep_ckpts=-1)
    run = training.runner(tmp_path, checkpoint=keep_all, resume=True)
    run.train()
    assert run.iter == 20
    assert names(tmp_path) == ['iter_10.pth', 'iter_15.pth', 'iter_20.pth']
    for name in ('iter_15.pth', 'iter_20.pth'):
        assert_same_state(tmp_path / name, reference / name)


def test_an_unreadable_checkpoint_is_not_kept(tmp_path):
    run = training.runner(tmp_path)
    run.train()
    run.message_hub.update_info('strange', Path('x'))
    with pytest.raises(CheckpointError, match='last.pth was not kept.*Path'):
        run.save_checkpoint(str(tmp_path), 'last.pth')
    assert names(tmp_path) == ['iter_20.pth']


def test_meta_of_a_config_can_be_read_back(tmp_path):
    run = training.runner(tmp_path)
    run.train_dataloader.dataset.metainfo['sizes'] = ConfigDict(a=[1, 2])
    run.train()
    meta = read_checkpoint(tmp_path / 'iter_20.pth')['meta']
    assert meta['dataset_meta'] == dict(
        classes=training.CLASSES, sizes=dict(a=[1, 2])
    )


def test_load_from_is_strict(reference, tmp_path):
    run = training.runner(
        tmp_path, steps=1, load_from=str(reference / 'iter_20.pth'), width=9
    )
    with pytest.raises(CheckpointError) as error:
        run.train()
    assert 'layers.0.weight: (8, 4) in the file, (9, 4) in the model' in str(
        error.value
    )
    assert str(reference / 'iter_20.pth') in str(error.value)
    run.load_checkpoint(str(reference / 'iter_20.pth'), strict=False)
    weights = read_checkpoint(reference / 'iter_20.pth')['state_dict']
    assert torch.equal(run.model.layers[3].bias, weights['layers.3.bias'])


def test_load_from_loads(reference, tmp_path):
    path = str(reference / 'iter_20.pth')
    run = training.runner(tmp_path, steps=1, load_from=path)
    run.load_or_resume()
    for name, value in read_checkpoint(path)['state_dict'].items():
        assert torch.equal(run.model.state_dict()[name], value), name
    prefixed = tmp_path / 'prefixed.pth'
    state = {f'net.{k}': v for k, v in run.model.state_dict().items()}
    torch.save(state, prefixed)
    run.load_checkpoint(str(prefixed), revise_keys=[(r'^net\.', '')])
    with pytest.raises(CheckpointError, match='net.layers.0.weight'):
        run.load_checkpoint(str(prefixed))


def test_classes_in_another_order_are_an_error(reference, tmp_path):
    run = training.runner(
        tmp_path,
        load_from=str(reference / 'iter_20.pth'),
        classes=('square', 'circle', 'triangle'),
    )
    with pytest.raises(CheckpointError, match='labels would be swapped'):
        run.train()


class Scores(training.Line):
    """A model whose head scores classes."""

    def __init__(self, classes):
        super().__init__()
        self.head = nn.Module()
        self.head.num_classes = classes
        self.head.fc_cls = nn.Linear(2, classes + 1)

    def forward(self, points, targets, mode='loss'):
        scores = self.head.fc_cls(points[:, :2]).square().mean()
        return dict(loss=super().forward(points, targets)['loss'] + scores)


def of_other_classes(reference, path):
    """Write a checkpoint of five classes; runs of this file have three."""
    state = read_checkpoint(reference / 'iter_20.pth')['state_dict']
    state.update(
        {
            f'head.fc_cls.{k}': torch.randn_like(v)
            for k, v in nn.Linear(2, 6).state_dict().items()
        }
    )
    names = ['square', 'star', 'cross', 'circle', 'moon']
    meta = dict(dataset_meta=dict(classes=names))
    torch.save(dict(state_dict=state, meta=meta), path)
    return state


class Start(Hook):
    """A hook that keeps the weights that training starts from."""

    def before_train(self, runner):
        self.state = {
            k: v.clone() for k, v in runner.model.state_dict().items()
        }


@pytest.mark.parametrize('copying', [False, True])
def test_fine_tuning_for_other_classes(copying, reference, tmp_path):
    path = tmp_path / 'other.pth'
    weights = of_other_classes(reference, path)
    run = training.runner(
        tmp_path,
        steps=1,
        model=Scores(3),
        load_from=str(path),
        cfg=dict(copy_classes=copying),
    )
    initial = run.model.head.fc_cls.bias.clone()
    start = Start()
    run.register_hook(start)
    run.train()
    assert torch.equal(
        start.state['layers.0.weight'], weights['layers.0.weight']
    )
    expected = initial
    if copying:  # circle, square, triangle, background
        bias = weights['head.fc_cls.bias']
        expected = torch.stack([bias[3], bias[0], initial[2], bias[5]])
    assert torch.equal(start.state['head.fc_cls.bias'], expected)


def test_classes_are_copied_from_a_checkpoint(tmp_path):
    run = training.runner(tmp_path, steps=1, cfg=dict(copy_classes=True))
    with pytest.raises(ValueError, match='copy from: set load_from=FILE'):
        run.train()


def test_other_classes_are_an_error_unless_training_starts(
    reference, tmp_path
):
    path = tmp_path / 'other.pth'
    of_other_classes(reference, path)
    run = training.runner(tmp_path, model=Scores(3), load_from=str(path))
    message = 'The checkpoint has 5 classes, the model 3'
    with pytest.raises(CheckpointError, match=message):
        run.load_or_resume()  # as validation and test do
    with pytest.raises(CheckpointError, match=message):
        run.load_checkpoint(str(path))
    whole = read_checkpoint(reference / 'iter_20.pth')
    torch.save({**whole, **read_checkpoint(path)}, path)
    run = training.runner(
        tmp_path, model=Scores(3), load_from=str(path), resume=True
    )
    with pytest.raises(CheckpointError):
        run.train()


def test_resume_from_weights_only_is_an_error(reference, tmp_path):
    weights = read_checkpoint(reference / 'iter_20.pth')['state_dict']
    path = tmp_path / 'weights.pth'
    torch.save({'state_dict': weights}, path)
    run = training.runner(tmp_path, resume=True, load_from=str(path))
    with pytest.raises(CheckpointError) as error:
        run.train()
    assert 'has no meta, message_hub, optimizer' in str(error.value)
    assert 'load_from' in str(error.value)


def test_resume_of_a_truncated_file_is_an_error(reference, tmp_path):
    whole = (reference / 'iter_20.pth').read_bytes()
    path = tmp_path / 'cut.pth'
    path.write_bytes(whole[: len(whole) // 2])
    run = training.runner(tmp_path, resume=True, load_from=str(path))
    with pytest.raises(CheckpointError, match='cut.pth.*is truncated'):
        run.train()


def test_nothing_to_resume_starts_anew(tmp_path, reference):
    training.runner(tmp_path, resume=True).train()
    assert_same_state(tmp_path / 'iter_20.pth', reference / 'iter_20.pth')


@pytest.mark.parametrize('device, reverted', [('cpu', True), ('cuda', False)])
def test_cpu_processes_have_no_sync_bn(monkeypatch, device, reverted):
    """PyTorch's SyncBN refuses tensors on the CPU."""
    monkeypatch.setattr('swin_dense.engine.runner.get_device', lambda: device)
    monkeypatch.setattr(
        'mmengine.runner.Runner.wrap_model', lambda self, cfg, model: model
    )
    runner = object.__new__(DenseRunner)
    runner._distributed = True
    runner.cfg = {}
    (norm,) = runner.wrap_model(None, nn.Sequential(nn.SyncBatchNorm(4)))
    assert isinstance(norm, nn.SyncBatchNorm) is not reverted
    assert norm.num_features == 4


def test_validations_are_logged_at_their_iteration(tmp_path):
    run = training.runner(tmp_path, model=Predicting(), **VALIDATED)
    run.train()
    rows = read_scalars(tmp_path)
    steps = [row['step'] for row in rows if 'lr' not in row]
    assert steps == [8, 16, 20]
    table = (tmp_path / 'results.csv').read_text().splitlines()
    assert table[0].startswith('step,') and 'count' in table[0]
    assert (tmp_path / 'curves.png').is_file()


def test_curves_after_an_interruption(tmp_path):
    class Stop(Hook):
        def after_train_iter(self, runner, batch_idx, *args, **kwargs):
            if batch_idx == 11:
                raise KeyboardInterrupt

    run = training.runner(tmp_path, custom_hooks=[Stop()])
    with pytest.raises(KeyboardInterrupt):
        run.train()
    assert (tmp_path / 'results.csv').read_text().count('\n') == 3
    assert (tmp_path / 'curves.png').is_file()


def test_a_failed_start_leaves_no_folder(tmp_path):
    work_dir = tmp_path / 'runs' / 'first'
    run = training.runner(work_dir, load_from=str(tmp_path / 'absent.pth'))
    assert Path(run.log_dir).is_dir()
    with pytest.raises(CheckpointError):
        run.train()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError):
        training.runner(work_dir, model=dict(type='Absent'))
    assert list(tmp_path.iterdir()) == []
    # What was there before stays.
    work_dir.mkdir(parents=True)
    (work_dir / 'notes.txt').touch()
    run = training.runner(work_dir, load_from=str(tmp_path / 'absent.pth'))
    with pytest.raises(CheckpointError):
        run.train()
    assert [path.name for path in work_dir.iterdir()] == ['notes.txt']


def test_a_test_does_not_replace_the_config(tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text('answer = 1')
    cfg = Config.fromfile(str(config))
    work_dir = tmp_path / 'work'
    training.runner(work_dir, cfg=cfg).train()
    assert Config.fromfile(str(work_dir / 'mine.py')).answer == 1
    cfg.answer = 2
    run = training.runner(
        work_dir,
        cfg=cfg,
        model=Predicting(),
        test_cfg=dict(type='TestLoop'),
        test_evaluator=VALIDATED['val_evaluator'],
        test_dataloader=VALIDATED['val_dataloader'],
    )
    run.test()
    assert Config.fromfile(str(work_dir / 'mine.py')).answer == 1
    assert Config.fromfile(str(Path(run.log_dir, 'mine.py'))).answer == 2


def test_a_config_in_the_work_folder_stays_as_it_is(tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text('answer = 1  # by hand')
    training.runner(tmp_path, cfg=Config.fromfile(str(config))).train()
    assert config.read_text() == 'answer = 1  # by hand'


def test_resuming_past_the_end_says_so(reference, tmp_path, caplog):
    path = str(reference / 'iter_20.pth')
    run = training.runner(tmp_path, load_from=path, resume=True)
    run.logger.addHandler(caplog.handler)
    run.train()
    assert run.iter == 20
    assert (
        f'{path} is the end of this training, 20 of 20 iterations: nothing '
        'is left to train. A larger train_cfg.max_iters would go on'
    ) in caplog.text
