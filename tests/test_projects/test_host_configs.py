"""All installed configs of the hosts that have a Swin Transformer build.

By the `type` of the backbone alone. What mmpretrain's put out is compared in
tests/test_backbones, what some of the others put out in test_drop_in.py.
"""

import copy
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from helpers.small_bert import make_bert
from swin_dense.backbones import SwinTransformer, SwinTransformer3D

# Configs that build with the host's class, at the least.
COUNTS = dict(mmdet=96, mmseg=21, mmaction=6)
QUICK = dict(
    mmdet='mask-rcnn_swin-t-p4-w7_fpn_1x_coco',
    mmseg='swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512',
    mmaction='swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb',
)


def paths(host):
    if find_spec(host) is None:
        pytest.skip(f'{host} is not installed')
    if host == 'mmseg':
        pytest.importorskip('regex', reason='mmsegmentation imports it')
    root = Path(find_spec(host).origin).parent / '.mim' / 'configs'
    return sorted(
        path for path in root.rglob('*swin*.py') if '_base_' not in path.parts
    )


def read(path, bert):
    """The model of a config, with a small language model if it has one."""
    model = Config.fromfile(path).model
    for part in (model, holder(model).backbone):
        part.pop('init_cfg', None)
        part.pop('pretrained', None)
    if 'language_model' in model:
        model.language_model.name = bert
        if 'lang_model_name' in model.bbox_head:
            model.bbox_head.lang_model_name = bert
    return model


def holder(model):
    """Return the part of a model that has the backbone.

    A tracker has a detector.
    """
    return model if 'backbone' in model else model.detector


def build(model, host):
    with DefaultScope.overwrite_default_scope(host):
        return MODELS.build(copy.deepcopy(model))


def check(model, host, expected):
    """Build with our backbone; it has as many parameters as the host's."""
    backbone = holder(model).backbone
    backbone.type = f'swin_dense.{backbone.type}'
    output = build(model, host)
    part = output if hasattr(output, 'backbone') else output.detector
    assert isinstance(part.backbone, (SwinTransformer, SwinTransformer3D))
    counts = [
        sum(value.numel() for value in built.parameters())
        for built in (output, expected)
    ]
    assert counts[0] == counts[1], counts


@pytest.fixture(scope='module')
def bert(tmp_path_factory):
    pytest.importorskip('transformers', reason='some models read text')
    return make_bert(tmp_path_factory.mktemp('bert'))


@pytest.mark.parametrize('host', QUICK)
def test_config(host):
    (path,) = (path for path in paths(host) if path.stem == QUICK[host])
    model = read(path, None)
    check(model, host, build(model, host))


@pytest.mark.slow
@pytest.mark.parametrize('host', COUNTS)
def test_all_configs(host, bert):
    built, wrong = 0, {}
    for path in paths(host):
        try:
            model = read(path, bert)
            expected = build(model, host)
        except Exception as error:  # the host cannot either
            print(f'{path.stem}: {type(error).__name__}: {error}'[:200])
            continue
        try:
            check(model, host, expected)
            built += 1
        except Exception as error:
            wrong[path.stem] = f'{type(error).__name__}: {error}'
    assert not wrong
    assert built >= COUNTS[host]
