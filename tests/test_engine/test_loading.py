"""Data loaders have a time limit and refuse empty data sets."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.coco import tiny_data, write_data
from helpers.training import Points, runner
from swin_dense.engine.loading import (
    TIME_LIMIT,
    EndWithParent,
    with_time_limit,
)
from swin_dense.engine.runner import DenseRunner


class Slow(Points):
    """A data set that never returns an item."""

    def __getitem__(self, index):
        time.sleep(600)


def loader(dataset, **changes):
    return dict(
        dataset=dataset,
        batch_size=8,
        num_workers=1,
        collate_fn=dict(type='default_collate'),
        sampler=dict(type='DefaultSampler', shuffle=False),
        **changes,
    )


def test_loaders_with_processes_have_a_limit():
    built = DenseRunner.build_dataloader(loader(Points()))
    assert built.timeout == TIME_LIMIT
    built = DenseRunner.build_dataloader(loader(Points(), timeout=5))
    assert built.timeout == 5
    alone = dict(loader(Points()), num_workers=0)
    assert with_time_limit(alone) is alone


def test_a_run_stops_at_the_time_limit(tmp_path):
    run = runner(tmp_path, train_dataloader=loader(Slow(), timeout=1))
    with pytest.raises(
        TimeoutError,
        match='timed out after 1 seconds: the processes that load data '
        'gave no batch for so long. .*num_workers=0',
    ):
        run.train()


class Empty(Points):
    def __len__(self):
        return 0


@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'DefaultSampler'])
def test_an_empty_data_set_is_refused(sampler):
    """An endless sampler would wait for its first item without end."""
    settings = loader(Empty())
    settings['sampler'] = dict(type=sampler, shuffle=True)
    with pytest.raises(ValueError, match='the data set Empty is empty'):
        DenseRunner.build_dataloader(settings)


def test_an_empty_data_set_of_a_host_is_refused(tmp_path):
    """NumPy would fail on it while mmengine builds the data set."""
    pytest.importorskip('mmdet', reason='needs mmdet')
    data = tiny_data()
    data['annotations'] = []
    path, folder = write_data(tmp_path, data)
    settings = loader(
        dict(
            type='mmdet.CocoDataset',
            ann_file=str(path),
            data_prefix=dict(img=str(folder)),
            metainfo=dict(classes=('cat', 'dog')),
            filter_cfg=dict(filter_empty_gt=True),
        )
    )
    with pytest.raises(
        ValueError,
        match=r'a data set is empty, mmdet.CocoDataset \(.*train.json\): '
        'nothing is left after its filters',
    ):
        DenseRunner.build_dataloader(settings)


def test_an_epoch_without_a_batch_is_refused():
    settings = loader(Points(), drop_last=True)
    assert len(DenseRunner.build_dataloader(settings)) == 4
    settings['batch_size'] = 33
    with pytest.raises(ValueError, match='32 items, which is no full batch'):
        DenseRunner.build_dataloader(settings)


LOADS = """
import sys, time
sys.path[:0] = sys.argv[1:]
import torch
from torch.utils.data import DataLoader, Dataset
from swin_dense.engine.loading import end_with_parent

class Slow(Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, index):
        if index:
            time.sleep(600)
        return index

loader = DataLoader(Slow(), num_workers=1, batch_size=1)
end_with_parent(loader)
end_with_parent(loader)
batches = iter(loader)
next(batches)
print(batches._workers[0].pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='the signal is of Linux')
def test_processes_that_load_end_with_a_killed_training():
    """Also while they load an item, where PyTorch's would go on."""
    folder = Path(__file__).parents[1]
    run = subprocess.Popen(
        [sys.executable, '-c', LOADS, str(folder.parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    worker = int(run.stdout.readline())
    os.kill(worker, 0)  # it runs
    run.kill()
    run.wait()
    deadline = time.monotonic() + 30
    while is_alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(worker)


def is_alive(process):
    """Return False for a process that has ended, also if nobody waits."""
    try:
        state = Path(f'/proc/{process}/stat').read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(')')[2].split()[0] not in 'ZX'


def test_the_start_of_the_host_is_kept():
    built = DenseRunner.build_dataloader(settings := loader(Points()), seed=7)
    assert settings['num_workers'] == 1
    assert isinstance(built.worker_init_fn, EndWithParent)
    assert built.worker_init_fn.start.keywords['seed'] == 7
