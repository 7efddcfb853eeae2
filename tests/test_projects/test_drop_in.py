"""projects/drop_in: hosts' own configs, with nothing but our backbone."""

import copy
import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from swin_dense.backbones import SwinTransformer
from swin_dense.engine.launch import load_config

PROJECT = Path(__file__).parents[2] / 'projects' / 'drop_in'
# Of outputs over their largest value.
TOLERANCE = 1e-4
# Thresholds and maxima amplify rounding, in so many of the pixels at most.
CHANGED = 1e-4

# Sizes at which a test is affordable; the rest is the host's.
CHANNELS = [24, 48, 96, 192]
SMALL = {
    'model.backbone.embed_dims': 24,
    'model.backbone.depths': [2, 2, 2, 2],
    'model.backbone.num_heads': [1, 2, 4, 8],
}
SHRUNK = {
    'mask_rcnn_swin_t_coco': {'model.neck.in_channels': CHANNELS},
    'retinanet_swin_t_coco': {'model.neck.in_channels': CHANNELS[1:]},
    # The order of queries by score decides what they learned to look for, so
    # that rounding matters where scores are as close as those of 900.
    'dino_swin_l_coco': {
        'model.neck.in_channels': CHANNELS,
        'model.num_queries': 30,
        'model.test_cfg.max_per_img': 30,
    },
    'mask2former_swin_t_coco': {'model.panoptic_head.in_channels': CHANNELS},
    'atss_dyhead_swin_l_coco': {'model.neck.0.in_channels': CHANNELS[1:]},
    'glip_swin_t_obj365': {'model.neck.in_channels': CHANNELS[1:]},
    'upernet_swin_t_ade20k': {
        'model.decode_head.in_channels': CHANNELS,
        'model.auxiliary_head.in_channels': CHANNELS[2],
    },
    'knet_swin_t_ade20k': {
        'model.decode_head.kernel_generate_head.in_channels': CHANNELS,
        'model.auxiliary_head.in_channels': CHANNELS[2],
    },
    'mask2former_swin_t_ade20k': {'model.decode_head.in_channels': CHANNELS},
    'swin_t_kinetics400': {},
}


def import_compare():
    spec = importlib.util.spec_from_file_location(
        'drop_in_compare', PROJECT / 'compare.py'
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


drop_in = import_compare()


def make_language_model(folder):
    """A BERT of one layer that knows the three names, with its tokenizer."""
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '.']
    words += drop_in.CLASSES
    (folder / 'vocab.txt').write_text('\n'.join(words))
    BertTokenizer(str(folder / 'vocab.txt')).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words), num_hidden_layers=1, intermediate_size=64
    )
    BertModel(config).save_pretrained(folder)


def read(name, folder, small=True):
    """A config of the project, or a skip where its host cannot run."""
    if name.endswith('ade20k'):
        pytest.importorskip('mmseg', reason='a config of mmsegmentation')
        pytest.importorskip('regex', reason='mmsegmentation imports it')
    elif name.endswith('kinetics400'):
        pytest.importorskip('mmaction', reason='a config of mmaction2')
    else:
        pytest.importorskip('mmdet', reason='a config of mmdet')
    options = {**SMALL, **SHRUNK[name]} if small and SHRUNK[name] else {}
    if name.startswith('glip'):
        pytest.importorskip('transformers', reason='GLIP reads text')
        make_language_model(folder)
        options['model.language_model.name'] = str(folder)
        options['model.bbox_head.lang_model_name'] = str(folder)
    return load_config(PROJECT / 'configs' / f'{name}.py', options)


def check(name, folder, small):
    # Windows of clips shrink to the map in another way than mmaction2's.
    size = 224 if name.endswith('kinetics400') else 128
    cfg = read(name, folder, small)
    # Where two candidates are as good as equal, rounding decides which one a
    # detector goes on with. A fault shows for any weights and input, though.
    for seed in range(3):
        done = drop_in.compare(cfg, size, seed)
        if done.difference < TOLERANCE:
            break
    assert done.difference < TOLERANCE, done
    assert done.values >= 300, done
    assert done.changed <= CHANGED * done.choices, done
    return done


def test_every_config_is_tested():
    names = {path.stem for path in (PROJECT / 'configs').glob('*.py')}
    assert names == set(SHRUNK)


@pytest.mark.parametrize('name', SHRUNK)
def test_outputs_are_the_hosts(name, tmp_path):
    check(name, tmp_path, small=True)


@pytest.mark.slow
@pytest.mark.parametrize('name', SHRUNK)
def test_outputs_are_the_hosts_in_full_size(name, tmp_path):
    """Also that the table in the README names the parameters."""
    done = check(name, tmp_path, small=False)
    if not name.startswith('glip'):  # its language model is a stand-in
        row = re.search(
            rf'\| {name} \|.*?\| ([\d.]+) M \|',
            (PROJECT / 'README.md').read_text(),
        )
        assert float(row[1]) == round(done.parameters / 1e6, 1)


@pytest.mark.parametrize('name', SHRUNK)
def test_only_the_type_differs(name, tmp_path):
    model = read(name, tmp_path, small=False)
    text = (PROJECT / 'configs' / f'{name}.py').read_text()
    (tmp_path / 'host.py').write_text(text.split('\n')[0])
    host = load_config(tmp_path / 'host.py')
    assert model.model.backbone.pop('type').startswith('swin_dense.Swin')
    assert host.model.backbone.pop('type').startswith('Swin')
    if name.startswith('glip'):
        for part, key in (
            ('language_model', 'name'),
            ('bbox_head', 'lang_model_name'),
        ):
            model.model[part][key] = host.model[part][key]
    assert model.model.to_dict() == host.model.to_dict()
    for key in ('train_dataloader', 'test_dataloader', 'param_scheduler'):
        assert model[key] == host[key]


@pytest.mark.parametrize('name', SHRUNK)
def test_optimizer_treats_parameters_as_the_hosts(name, tmp_path):
    """As many numbers for each pair of learning rate and weight decay."""
    model = read(name, tmp_path)

    def groups(cfg):
        wrapper = copy.deepcopy(cfg.optim_wrapper)
        wrapper.type = 'OptimWrapper'  # mixed precision needs a GPU
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            optimizer = build_optim_wrapper(
                drop_in.build(cfg), wrapper
            ).optimizer
        numbers = Counter()
        for group in optimizer.param_groups:
            numbers[group['lr'], group['weight_decay']] += sum(
                value.numel() for value in group['params']
            )
        return numbers

    assert groups(model) == groups(drop_in.host_config(model))


def test_a_difference_is_seen(tmp_path, monkeypatch):
    cfg = read('retinanet_swin_t_coco', tmp_path)
    host = drop_in.host_config(cfg)
    assert isinstance(drop_in.build(cfg).backbone, SwinTransformer)
    monkeypatch.setattr(drop_in, 'host_config', lambda cfg: host)
    cfg.model.backbone.qk_scale = 0.3
    assert drop_in.compare(cfg).difference > 10 * TOLERANCE


def test_table_of_the_command_line(capsys):
    pytest.importorskip('mmdet', reason='a config of mmdet')
    name = 'retinanet_swin_t_coco'
    options = {**SMALL, **SHRUNK[name]}
    status = drop_in.main(
        [
            str(PROJECT / 'configs' / f'{name}.py'),
            '--size',
            '96',
            '--cfg-options',
            *(f'{key}={value}' for key, value in options.items()),
        ]
    )
    assert status == 0
    assert re.fullmatch(
        rf'\| {name} \| 10\.6 M \| 1000 \| \d\.\de-0[5-9] \| 200 \| 0 \|',
        capsys.readouterr().out.splitlines()[-1],
    )
