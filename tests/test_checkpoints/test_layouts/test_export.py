"""Refusals of exports, and the tensors that exports leave out."""

import pytest

from helpers.layouts import PUBLISHED, weights
from helpers.state_dicts import assert_same
from swin_dense.checkpoints.layouts.export import (
    TARGETS,
    export,
    unsupported_names,
)
from swin_dense.checkpoints.layouts.translate import (
    CLASSIFIER,
    read_backbone,
)
from swin_dense.checkpoints.native import family

HAS = {
    'official': ('v1', 'v2', 'video', 'mlp', 'moe'),
    'mmdet': ('v1',),
    'mmseg': ('v1',),
    'mmaction': ('video',),
    'mmpretrain': ('v1', 'v2'),
    'timm': ('v1', 'v2'),
    'torchvision': ('v1', 'v2', 'video'),
    'huggingface': ('v1', 'v2'),
}


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize(
    'name', ['Swin-T', 'Swin V2-T', 'Video Swin-T', 'Swin-MLP-B', 'Swin-MoE-S']
)
def test_targets_without_a_member_of_the_family(target, name):
    native = weights(name, scale=16)
    kind = PUBLISHED[name].family
    assert family(native) == kind
    if kind in HAS[target]:
        assert unsupported_names(native, target) == []
        return
    possible = ', '.join(each for each in TARGETS if kind in HAS[each])
    with pytest.raises(ValueError) as error:
        export(native, target)
    assert str(error.value) == (
        f'{target} has no {name.rpartition("-")[0]} ({kind}): expected one '
        f'of {possible}'
    )


def test_unknown_target():
    with pytest.raises(
        ValueError,
        match="no target 'keras': expected one of official, mmdet, ",
    ):
        export(weights('Swin-T', scale=16), 'keras')


@pytest.mark.parametrize(
    'target, name, arguments, lost',
    [
        ('timm', 'Swin-T', dict(norms=(2, 3)), ['norm2', 'norm3']),
        ('torchvision', 'Video Swin-T', dict(norms=(2, 3)), ['norm2']),
        ('official', 'Video Swin-T', dict(norms=(0, 3)), ['norm0']),
        ('mmdet', 'Swin-T', dict(classes=2), ['norm', 'head']),
        (
            'mmaction',
            'Video Swin-T',
            dict(norms=(3,), classes=2),
            ['norm', 'head'],
        ),
        ('huggingface', 'Swin V2-T', dict(norms=(3,)), ['norm3']),
        (
            'huggingface',
            'Swin V2-H',
            {},
            [f'layers.2.blocks.{i}.norm3' for i in (5, 11, 17)],
        ),
    ],
)
def test_unsupported_tensors_are_refused(target, name, arguments, lost):
    native = weights(name, scale=16, **arguments)
    lost = [f'{each}.{leaf}' for each in lost for leaf in ('weight', 'bias')]
    assert unsupported_names(native, target) == lost
    with pytest.raises(ValueError) as error:
        export(native, target)
    assert (
        f'has no place for {len(lost)} of {len(native)} tensors: '
        f'{lost[0]}, {lost[1]}'
    ) in str(error.value)
    kept = {k: v for k, v in native.items() if k not in lost}
    assert_same(
        read_backbone(export(kept, target), keep=CLASSIFIER).weights, kept
    )


def test_two_final_norms_for_mmpretrain():
    native = weights('Swin-T', norms=(3,), classes=2)
    assert unsupported_names(native, 'mmpretrain') == [
        'norm.weight',
        'norm.bias',
    ]


def test_buffers_are_not_exported():
    native = weights('Swin V2-T', buffers=True)
    reference = export(native, 'timm')
    assert not any('relative' in name or 'mask' in name for name in reference)
