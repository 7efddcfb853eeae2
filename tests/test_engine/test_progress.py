"""The console of a training, with and without a terminal."""

import io
import logging
import re
from pathlib import Path

import pytest
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from rich.console import Console

from helpers.training import Line, Points, runner
from swin_dense.engine import progress


class Error(BaseMetric):
    """A value of an evaluation."""

    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        return dict(error=0.25)


class Predicting(Line):
    """A network that also predicts."""

    def forward(self, points, targets, mode='loss'):
        losses = super().forward(points, targets)
        return losses if mode == 'loss' else [1, 2]


def make_runner(folder):
    MMLogger._instance_dict.clear()  # earlier ones write to closed streams
    loader = dict(
        dataset=Points(),
        batch_size=16,
        num_workers=0,
        collate_fn=dict(type='default_collate'),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    run = runner(
        folder,
        steps=6,
        model=Predicting(),
        log_level='INFO',
        log_processor=dict(by_epoch=False),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=2)),
        val_dataloader=loader,
        val_cfg=dict(),
        val_evaluator=dict(type=Error),
    )
    run._train_loop['val_interval'] = 6
    return run


def test_the_console_has_short_lines_and_tables(tmp_path, capsys):
    run = make_runner(tmp_path)
    run.train()
    shown = capsys.readouterr().out
    lines = [line for line in shown.splitlines() if 'iteration ' in line]
    assert len(lines) == 3
    assert re.match(
        r'\d\d:\d\d:\d\d  iteration 2/6  loss [\d.]+  lr [\d.e-]+  [\d.e-]+ s',
        lines[0],
    )
    assert lines[0].endswith(' s left')
    assert 'validation after 6 iterations\n  error   0.250\n' in shown
    assert 'Iter(train)' not in shown and 'Iter(val)' not in shown
    written = Path(run.logger.log_file).read_text()
    assert written.count('Iter(train) [') == 3 and 'Iter(val) [2/2]' in written
    assert 'iteration 2/6' not in written
    assert 'validation after' not in written


def test_a_terminal_shows_the_progress(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, '_SECONDS', 0.0)
    terminal = Console(
        file=io.StringIO(), force_terminal=True, width=100, color_system=None
    )
    show = progress.show_progress
    monkeypatch.setattr(
        'swin_dense.engine.runner.show_progress',
        lambda run: show(run, terminal),
    )
    run = make_runner(tmp_path)
    before = [handler.stream for handler in run.logger.handlers]
    hooks = [*run.hooks]
    run.train()
    text = terminal.file.getvalue()
    assert re.search(r'training .*━.* 4/6 +\d+ s left', text)
    assert re.search(r'validation .*━.* 1/2 +\d+ s left', text)
    assert 'iteration 6/6' in text  # above the bar
    # All is as before.
    assert [handler.stream for handler in run.logger.handlers] == before
    assert run.hooks == hooks


def test_the_progress_ends_with_an_error(tmp_path, monkeypatch):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    run = make_runner(tmp_path)
    (console,) = [
        handler
        for handler in run.logger.handlers
        if not isinstance(handler, logging.FileHandler)
    ]
    stream = console.stream
    with pytest.raises(KeyboardInterrupt):
        with progress.show_progress(run, terminal):
            assert console.stream is not stream
            raise KeyboardInterrupt
    assert console.stream is stream
    assert not any(isinstance(h, progress.ProgressHook) for h in run.hooks)


def test_steps_have_a_bar_below_the_log(monkeypatch, capsys):
    monkeypatch.setattr(progress, '_SECONDS', 0.0)
    MMLogger._instance_dict.clear()
    logger = MMLogger.get_instance('steps', log_level='INFO')
    before = [handler.stream for handler in logger.handlers]
    terminal = Console(
        file=io.StringIO(), force_terminal=True, width=80, color_system=None
    )
    with progress.show_steps('[clip].mp4', console=terminal) as steps:
        steps.advance()
        logger.info('a line of the log')
        steps.reach(3, 4)
    text = terminal.file.getvalue()
    assert re.search(r'\[clip\].mp4 .*━.* 1/\? ', text)
    assert re.search(r'a line of the log\n', text)
    assert re.search(r'\[clip\].mp4 .*━.* 3/4 +\d+ s left', text)
    assert [handler.stream for handler in logger.handlers] == before
    assert capsys.readouterr() == ('', '')


def test_steps_write_nothing_without_a_terminal(capsys):
    console = Console(stderr=True, force_terminal=False)
    with progress.show_steps('clips', 2, console) as steps:
        print('a line')
        steps.advance(2)
    assert capsys.readouterr() == ('a line\n', '')


def test_steps_done_before_take_no_time():
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    bars = progress.Progress(
        progress.TextColumn('{task.completed} {task.fields[left]}'),
        console=terminal,
        auto_refresh=False,
    )
    with bars:
        steps = progress.Steps(bars, 'training', 1000, 998)
        assert bars.tasks[0].completed == 998
        assert bars.tasks[0].fields['left'] == ''
        steps._start -= 30
        steps.advance()
        assert bars.tasks[0].fields['left'] == '30 s left'
