"""The part of the demonstration that decides whether to train."""

import torch
from mmengine.config import Config

from helpers.command_line import tool
from swin_dense.checkpoints import read_checkpoint


def write_checkpoint(folder, iteration):
    """Write a checkpoint whose optimizer cannot be read."""
    state = torch.arange(1000, dtype=torch.float64)
    content = dict(
        meta=dict(iter=iteration),
        state_dict=dict(weight=torch.ones(2)),
        optimizer=dict(state={0: dict(exp_avg=state)}),
    )
    path = folder / f'iter_{iteration}.pth'
    torch.save(content, path)
    data = path.read_bytes()
    start = data.index(state.numpy().tobytes())
    path.write_bytes(data[:start] + bytes(8000) + data[start + 8000 :])
    (folder / 'last_checkpoint').write_text(str(path))
    return path


def test_the_optimizer_of_a_finished_training_is_not_read(
    tmp_path, monkeypatch
):
    demo = tool('demo')
    cfg = Config(dict(work_dir=str(tmp_path), train_cfg=dict(max_iters=9)))
    assert not demo.is_finished(cfg)
    for iteration, finished in ((5, False), (9, True)):
        path = write_checkpoint(tmp_path, iteration)
        monkeypatch.setattr(demo, 'find_latest', lambda folder, p=path: p)
        assert demo.is_finished(cfg) is finished
    entries = read_checkpoint(path, without=('optimizer',))
    assert set(entries) == {'meta', 'state_dict'}
