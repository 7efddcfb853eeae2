"""The report of the weights that a run has loaded."""

import json
from types import SimpleNamespace

from torch import nn

from helpers.training import runner
from swin_dense.checkpoints.report import LoadReport
from swin_dense.engine.load_reports import LOAD_REPORT, backbone_reports
from swin_dense.engine.work_dir_lock import WorkDirLock


def loads(folder):
    return json.loads((folder / LOAD_REPORT).read_text())['loads']


def save_weights(folder):
    run = runner(folder, steps=5)
    run.train()
    return folder / 'iter_5.pth', sorted(run.model.state_dict())


def test_a_training_from_weights_says_what_was_loaded(tmp_path, logged):
    weights, names = save_weights(tmp_path / 'first')
    assert loads(tmp_path / 'first') == []
    run = runner(
        tmp_path / 'second',
        steps=1,
        load_from=str(weights),
        log_level='INFO',
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=1),
    )
    run.logger.addHandler(logged.handler)
    run.logs_load_lists = True
    run.train()
    (load,) = loads(tmp_path / 'second')
    assert (load['into'], load['label']) == ('model', str(weights))
    assert sorted(load['loaded']) == names
    for title in ('resized', 'dropped', 'missing', 'unexpected'):
        assert load[title] == []
    (text,) = [m for m in logged.messages if m.startswith('Loaded into')]
    assert text.startswith(f'Loaded into model from {weights}:\n')
    assert all(f'      {name}' in text for name in names)


def test_beside_a_training_the_report_goes_to_the_log_folder(
    tmp_path, monkeypatch
):
    run = runner(tmp_path)
    monkeypatch.setattr(run, '_has_loaded', True)
    lock = WorkDirLock(tmp_path)
    lock.acquire()
    try:
        run.load_or_resume()
    finally:
        lock.release()
    assert not (tmp_path / LOAD_REPORT).exists()
    assert (tmp_path / run.timestamp / LOAD_REPORT).is_file()


def test_backbones_of_a_model_are_reported_by_their_paths():
    model = nn.Sequential(nn.Identity(), nn.Sequential(nn.Identity()))
    report = LoadReport('Microsoft classifier', 'swin.pth')
    model[1][0].load_report = report
    model[0].load_report = SimpleNamespace()  # of a user's own
    assert [*backbone_reports(model)] == [('model.1.0', report)]
    assert [*backbone_reports(model[1][0])] == [('model', report)]
