"""Rules that all configs keep: names, recipes, inheritance, channels."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from swin_dense.sizes import SWIN

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / 'configs'
BASE = CONFIGS / '_base_'
LEAVES = sorted(path.stem for path in CONFIGS.glob('*.py'))
PUBLISHED = [name for name in LEAVES if '_nano_' not in name]
GRAMMAR = re.compile(
    r'(?P<method>mask_rcnn|cascade|htcpp|(mask_)?reppoints_v2|upernet|video)_'
    r'(?P<backbone>(cb_)?swin|swinv2|swin_mlp|swin_moe|mini_swin)_'
    r'(?P<size>nano|t|s|b|l)_'
    r'(coco|coco_people|shapes|ade20k|aerial|human_parsing|k400|k600|ssv2|'
    r'two_clips|own)'
    r'(_(1x|w16|lsj_1024|lsj_1536|22k|640|384|320|1gpu|no_stuff))*'
)
METRICS = dict(upernet='mIoU|pixel accuracy', video='top-1')
SIZES = dict(t='tiny', s='small', b='base', l='large')


@cache
def _load(name):
    return Config.fromfile(str(CONFIGS / f'{name}.py'))


@cache
def _statements(path):
    """Values of the assignments at the top of a config, by name."""
    return {
        statement.targets[0].id: statement.value
        for statement in ast.parse(path.read_text()).body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
    }


def _bases(path):
    value = _statements(path).get('_base_')
    if value is None:
        return []
    bases = ast.literal_eval(value)
    bases = [bases] if isinstance(bases, str) else bases
    return [(path.parent / base).resolve() for base in bases]


def _depth(path):
    return max((_depth(base) + 1 for base in _bases(path)), default=0)


@pytest.mark.parametrize('name', LEAVES)
def test_names_and_command(name):
    assert GRAMMAR.fullmatch(name)
    lines = (CONFIGS / f'{name}.py').read_text().splitlines()
    assert len(lines) < 45
    command = re.fullmatch(
        rf'# (python tools/train\.py configs/{name}\.py'
        rf'|tools/dist_train\.sh configs/{name}\.py \d+)',
        lines[0],
    )
    assert command


def test_the_metafile_lists_all_configs():
    """Written by `tools/model_zoo.py --metafile configs/metafile.yml`."""
    models = yaml.safe_load((CONFIGS / 'metafile.yml').read_text())['Models']
    assert [model['Name'] for model in models] == LEAVES
    for model in models:
        call = _statements(CONFIGS / f'{model["Name"]}.py')['recipe']
        recipe = {
            keyword.arg: ast.literal_eval(keyword.value)
            for keyword in call.keywords
        }
        results = {'Published Results': recipe['published']}
        assert model == {
            'Name': model['Name'],
            'Config': f'configs/{model["Name"]}.py',
            'Paper': {'Title': recipe['paper']},
            'Metadata': {
                'Training Resources': recipe['hardware'],
                **(results if recipe['published'] else {}),
            },
        }


@pytest.mark.parametrize('name', LEAVES)
def test_recipe(name):
    """Each leaf gives all keys itself, so none is that of a sibling."""
    call = _statements(CONFIGS / f'{name}.py')['recipe']
    keys = [keyword.arg for keyword in call.keywords]
    assert keys == ['published', 'measured', 'hardware', 'paper']
    recipe = _load(name).recipe
    assert list(recipe) == keys
    metric = METRICS.get(GRAMMAR.fullmatch(name)['method'], 'box AP')
    for figure in (recipe.published, recipe.measured):
        assert figure is None or re.match(
            rf'({metric})\d* (above )?\d', figure
        )
    if '_nano_' in name:
        depends_on_data = name.endswith('_own')
        assert (recipe.measured is None) == depends_on_data
        assert recipe.published is recipe.paper is None
        assert recipe.hardware.startswith('2 CPU cores, ')
    else:
        assert re.match(r'arXiv \d{4}\.\d{5}\b', recipe.paper)


@pytest.mark.parametrize('name', PUBLISHED)
def test_hardware_is_that_of_command_and_settings(name):
    config = _load(name)
    gpus, images = re.match(
        r'(\d+) GPUs?(?: of \d+ GB)? x (\d+) (?:image|clip)s?\b',
        config.recipe.hardware,
    ).groups()
    assert config.train_dataloader.batch_size == int(images)
    accumulated = config.optim_wrapper.get('accumulative_counts', 1)
    assert (
        int(gpus) * int(images) * accumulated
        == config.auto_scale_lr.base_batch_size
    )
    command = (CONFIGS / f'{name}.py').read_text().splitlines()[0]
    assert command.endswith(f' {gpus}' if gpus != '1' else '.py')


@pytest.mark.parametrize(
    'name', ['cascade_swin_b_coco', 'upernet_swin_t_ade20k']
)
def test_a_dump_keeps_the_recipe(name, tmp_path):
    _load(name).dump(str(tmp_path / 'config.py'))
    dumped = Config.fromfile(str(tmp_path / 'config.py'))
    assert dumped.recipe == _load(name).recipe
    assert dumped.recipe.hardware == '8 GPUs x 2 images'


def test_the_model_zoo_shows_the_published_figures():
    rows = re.findall(
        r'^\| \[`(\w+)`\]\(\.\./configs/\1\.py\) .* \| (.+) \|$',
        (REPOSITORY / 'docs' / 'model_zoo.md').read_text(),
        re.M,
    )
    assert rows == [
        (name, _load(name).recipe.published or '–') for name in PUBLISHED
    ]


@pytest.mark.parametrize('name', LEAVES)
def test_at_most_three_steps_of_inheritance(name):
    """Recipe, sibling, part, part: no reader opens more for one setting."""
    path = CONFIGS / f'{name}.py'
    assert 1 <= _depth(path) <= 3
    siblings = [base for base in _bases(path) if base.parent == CONFIGS]
    assert len(siblings) <= 1
    for sibling in siblings:
        parents = _bases(sibling)
        assert not any(base.parent == CONFIGS for base in parents), sibling


@pytest.mark.parametrize('name', LEAVES)
def test_order_of_parts(name):
    """Model, parts, data, schedule, runtime: the order of a sentence."""
    order = ['configs', 'models', 'parts', 'datasets', 'schedules', 'runtime']
    folders = [base.parent.name for base in _bases(CONFIGS / f'{name}.py')]
    assert folders == sorted(folders, key=order.index)
    if folders[0] != 'configs':
        assert set(folders) >= {'models', 'datasets', 'schedules', 'runtime'}


def test_models_are_models_and_parts_are_none():
    for path in (BASE / 'models').glob('*.py'):
        assert Config.fromfile(str(path)).model.type, path
    parts = list((BASE / 'parts').glob('*.py'))
    assert len(parts) >= 6
    for path in parts:
        statements = _statements(path)
        assert '_base_' not in statements and 'model' not in statements, path


def test_every_part_is_used():
    used = set()
    remaining = [CONFIGS / f'{name}.py' for name in LEAVES]
    remaining += REPOSITORY.glob('projects/*/configs/*.py')
    while remaining:
        bases = [b for b in _bases(remaining.pop()) if b.is_file()]
        used.update(bases)
        remaining.extend(bases)
    assert set(BASE.rglob('*.py')) <= used


def test_sizes_of_a_recipe_inherit_the_smallest():
    """Unless more than the size differs."""
    exceptions = {
        'htcpp_swin_l_coco': 'half the epochs',
        'video_swin_b_k400_22k': 'no smaller size',
    }
    families = {}
    for name in PUBLISHED:
        size = GRAMMAR.fullmatch(name)['size']
        family = name.replace(f'_{size}_', '_*_')
        families.setdefault(family, {})[size] = name
    checked = 0
    for family in families.values():
        first, *others = (family[size] for size in 'tsbl' if size in family)
        for name in others:
            inherits = (CONFIGS / f'{first}.py') in _bases(
                CONFIGS / f'{name}.py'
            )
            assert inherits == (name not in exceptions), name
            checked += 1
    assert checked > 15


def test_channels_are_those_of_the_sizes():
    channels = Config.fromfile(str(BASE / 'parts' / 'channels.py')).channels
    assert set(channels) == set(SIZES.values())
    for arch, outputs in channels.items():
        assert outputs == [SWIN[arch]['embed_dims'] * 2**i for i in range(4)]


@pytest.mark.parametrize('name', PUBLISHED)
def test_channels_follow_from_the_size(name):
    model = _load(name).model
    arch = SIZES[GRAMMAR.fullmatch(name)['size']]
    backbone = model.backbone
    archs = {each.arch for each in backbone.get('backbones', [backbone])}
    # Swin-MLP has several sizes of heads.
    assert {name.partition('_')[0] for name in archs} == {arch}
    channels = [SWIN[arch]['embed_dims'] * 2**i for i in range(4)]
    if 'neck' in model:
        outputs = backbone.get('out_indices', range(4))
        assert model.neck.in_channels == [channels[i] for i in outputs]
    elif 'decode_head' in model:
        assert model.decode_head.in_channels == channels
        assert model.auxiliary_head.in_channels == channels[2]
    else:
        assert model.cls_head.in_channels == channels[3]
    text = (CONFIGS / f'{name}.py').read_text()
    assert not re.search(r'in_channels=(\[|\d)', text)
