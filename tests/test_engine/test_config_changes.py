"""The line of the log on what a command line changed."""

from types import SimpleNamespace

from mmengine.config import Config
from mmengine.logging import MMLogger

from swin_dense.engine import launch
from swin_dense.engine.config_changes import MAX_CHANGES, describe_changes
from swin_dense.engine.launch import apply_command_line, load_config


def changes(before, after):
    return describe_changes(Config(before), Config(after))


def test_old_and_new_values():
    before = dict(
        train_dataloader=dict(batch_size=2, num_workers=1),
        steps=[dict(end=5), dict(end=9)],
        milestones=[8, 11],
        dropped=1,
    )
    after = dict(
        train_dataloader=dict(batch_size=4, num_workers=1),
        steps=[dict(end=5), dict(end=10)],
        milestones=[16, 22],
        seed=None,
    )
    assert changes(before, before) == ''
    assert changes(before, after) == (
        'train_dataloader.batch_size: 2 -> 4, steps.1.end: 9 -> 10, '
        'milestones: [8, 11] -> [16, 22], dropped: 1 -> not set, '
        'seed: not set -> None'
    )


def test_a_part_of_another_type_is_one_change():
    text = changes(
        dict(optim_wrapper=dict(type='OptimWrapper', clip=1)),
        dict(optim_wrapper=dict(type='AmpOptimWrapper', loss_scale=2)),
    )
    assert text == (
        "optim_wrapper: dict(type='OptimWrapper', ...) -> "
        "dict(type='AmpOptimWrapper', ...)"
    )


def test_a_moved_data_root_is_one_change():
    def config(root):
        return dict(
            data_root=root,
            train=dict(data_root=root, ann_file=f'{root}train.json'),
        )

    text = changes(config('data/coco/'), config('/disk/coco/'))
    assert text == "data_root: 'data/coco/' -> '/disk/coco/'"


def test_long_lists_of_changes_are_cut():
    old = {f'value_{i}': 0 for i in range(MAX_CHANGES + 3)}
    text = changes(old, {name: 1 for name in old})
    assert text.endswith(', and 3 more')
    assert text.count('->') == MAX_CHANGES


def test_a_run_logs_what_the_command_line_changed(
    tmp_path, logged, monkeypatch
):
    path = tmp_path / 'recipe.py'
    path.write_text('randomness = dict(seed=1)\nmodel = dict(depth=2)\n')
    cfg = load_config(path, {'model.depth': 4})
    apply_command_line(cfg, work_dir='here', seed=7)
    stub = SimpleNamespace(logger=MMLogger.get_current_instance())
    monkeypatch.setattr(
        launch, 'RUNNERS', SimpleNamespace(build=lambda cfg: stub)
    )
    launch.build_runner(cfg)
    (line,) = [m for m in logged.messages if m.startswith('Changed in')]
    assert line == (
        'Changed in the config: randomness.seed: 1 -> 7, '
        'randomness.deterministic: not set -> False, model.depth: 2 -> 4, '
        "work_dir: 'work_dirs/recipe' -> 'here'"
    )
