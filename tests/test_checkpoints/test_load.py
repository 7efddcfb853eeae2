"""Strict loading: its five lists and its errors."""

import re

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from helpers.state_dicts import (
    DEPTHS,
    build,
    classifier,
    detector,
    native,
    random_like,
    segmentor,
)
from swin_dense.backbones import SwinTransformer
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.layouts.export import export
from swin_dense.checkpoints.load import load_backbone, load_model
from swin_dense.checkpoints.position import (
    resize_absolute_embedding,
    resize_bias_table,
)


def save(content, tmp_path, name='file.pth'):
    path = tmp_path / name
    torch.save(content, path)
    return path


@pytest.mark.parametrize('arch', DEPTHS)
@pytest.mark.parametrize(
    'wrap',
    [
        detector,
        segmentor,
        dict,
        lambda w: detector(export(w, 'mmdet')),
        lambda w: segmentor(export(w, 'mmdet')),
        lambda w: export(w, 'mmdet'),
    ],
)
def test_dense_files_load_completely(arch, wrap, tmp_path):
    weights = native(arch)
    model = build(arch)
    report = load_backbone(model, save(wrap(weights), tmp_path))
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert report.loaded == list(weights)
    assert not report.resized + report.missing + report.unexpected


def test_classifier_file(tmp_path, caplog):
    file = classifier()
    model = build()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    path = save(file, tmp_path)
    report = load_backbone(model, path)
    assert report.source_format == 'Microsoft classifier'
    norms = [
        f'norm{i}.{leaf}' for i in range(4) for leaf in ('weight', 'bias')
    ]
    assert report.missing == norms
    assert {'norm.weight', 'head.bias', 'layers.0.blocks.1.attn_mask'} < set(
        report.dropped
    )
    assert len(report.loaded) == len(before) - len(norms)
    for name, value in model.state_dict().items():
        source = before if name in norms else file['model']
        assert torch.equal(value, source[name]), name
    assert report.summary() == (
        f'{path} (Microsoft classifier): {len(report.loaded)} of '
        f'{len(before)} tensors loaded, 8 keep their initial values '
        '(norm0.weight, norm0.bias, norm1.weight and 5 more), 17 dropped by '
        f'rule ({", ".join(report.dropped[:3])} and 14 more)'
    )


@pytest.mark.parametrize('source, target', [(7, 12), (12, 7)])
def test_window_transfer(source, target):
    file = classifier(window=source)
    model = build(window_size=target)
    report = load_backbone(model, file)
    assert len(report.resized) == 12
    s, t = 2 * source - 1, 2 * target - 1
    assert report.summary().endswith(
        f'; bias tables {s}x{s} -> {t}x{t} in 12 blocks, bicubic'
    )
    for name, value in model.state_dict().items():
        if name in report.resized:
            expected = resize_bias_table(file['model'][name], source, target)
            assert torch.equal(value, expected), name
        elif name in report.loaded:
            assert torch.equal(value, file['model'][name]), name


def test_window_of_two_sizes():
    model = build(window_size=(5, 9))
    report = load_backbone(model, classifier())
    assert 'bias tables 13x13 -> 9x17 in 12 blocks' in report.summary()


def test_absolute_embedding_is_resized():
    file = classifier(use_abs_pos_embed=True, pretrain_img_size=32)
    model = build(use_abs_pos_embed=True, pretrain_img_size=(40, 24))
    report = load_backbone(model, file)
    assert report.resized == ['absolute_pos_embed']
    assert report.notes == ['absolute embedding 8x8 -> 10x6, bicubic']
    assert torch.equal(
        model.absolute_pos_embed,
        resize_absolute_embedding(
            file['model']['absolute_pos_embed'], (10, 6)
        ),
    )


def test_absolute_embedding_of_the_dense_code():
    weights = native(use_abs_pos_embed=True, pretrain_img_size=(40, 24))
    model = build(use_abs_pos_embed=True, pretrain_img_size=(40, 24))
    reference = dict(weights)
    reference['absolute_pos_embed'] = (
        weights['absolute_pos_embed'].unflatten(1, (10, 6)).permute(0, 3, 1, 2)
    )
    report = load_backbone(model, detector(reference))
    assert report.notes == []
    assert torch.equal(model.absolute_pos_embed, weights['absolute_pos_embed'])


def test_absolute_embedding_without_use_is_an_error():
    file = classifier(use_abs_pos_embed=True, pretrain_img_size=32)
    with pytest.raises(CheckpointError, match='absolute_pos_embed'):
        load_backbone(build(), file)


def test_norms_of_other_outputs_are_dropped():
    report = load_backbone(build(out_indices=(1, 3)), detector(native()))
    assert [n for n in report.dropped if 'norm' in n] == [
        f'backbone.norm{i}.{leaf}'
        for i in (0, 2)
        for leaf in ('weight', 'bias')
    ]
    with pytest.raises(CheckpointError, match='norm1.weight'):
        load_backbone(build(), native(out_indices=(0, 2, 3)))


def test_tiny_into_small_fails_and_says_so(tmp_path):
    model = build('small')
    before = {k: v.clone() for k, v in model.state_dict().items()}
    path = save(classifier('tiny'), tmp_path, 'swin_tiny.pth')
    with pytest.raises(CheckpointError) as error:
        load_backbone(model, path)
    text = str(error.value)
    assert str(path) in text and 'Microsoft classifier' in text
    assert (
        f'{12 * 13} of {len(before)} tensors of the model are not in the '
        'file (layers.2.blocks.6.norm1.weight, '
    ) in text
    assert text.count('layers.2.blocks.6.') == 3
    assert 'depths 2-2-6-2' in text and 'depths 2-2-18-2' in text
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_swin_t_into_swin_s():
    with pytest.raises(CheckpointError) as error:
        load_backbone(
            SwinTransformer(arch='small'),
            SwinTransformer(arch='tiny').state_dict(),
        )
    assert str(error.value).endswith(
        'It looks like Swin-T (embed_dims 96, depths 2-2-6-2, heads '
        '3-6-12-24, window 7), the model is Swin-S (embed_dims 96, depths '
        '2-2-18-2, heads 3-6-12-24, window 7).'
    )


def test_small_into_tiny_fails_on_unexpected_blocks():
    with pytest.raises(CheckpointError) as error:
        load_backbone(build('tiny'), classifier('small'))
    text = str(error.value)
    assert 'of the file are not in the model (layers.2.blocks.6.norm1' in text
    assert 'not in the file' not in text


def test_other_width_names_three_shapes():
    with pytest.raises(CheckpointError) as error:
        load_backbone(build('base'), export(native('large'), 'mmdet'))
    text = str(error.value)
    assert (
        'patch_embed.proj.weight: (24, 3, 4, 4) in the file, '
        '(16, 3, 4, 4) in the model; '
    ) in text
    assert text.count('in the file,') == 3
    assert 'embed_dims 24' in text and 'embed_dims 16' in text


def test_other_heads_are_not_resized_away():
    file = classifier(num_heads=(2, 4, 8, 8), window=7)
    with pytest.raises(CheckpointError, match='heads 2-4-8-8, window 7'):
        load_backbone(build(window_size=12), file)


def test_forgive_by_pattern():
    weights = native('tiny')
    weights['layers.9.extra'] = torch.ones(1)
    weights['patch_embed.norm.weight'] = torch.ones(3)
    del weights['layers.3.blocks.1.mlp.fc2.bias']
    model = build('tiny')
    with pytest.raises(CheckpointError):
        load_backbone(model, weights, forgive=['layers.3.*', 'layers.9.*'])
    report = load_backbone(
        model,
        weights,
        forgive=['layers.3.*', 'layers.9.*', 'patch_embed.norm.weight'],
    )
    assert report.missing == [
        'layers.3.blocks.1.mlp.fc2.bias',
        'patch_embed.norm.weight',
    ]
    assert report.unexpected == ['layers.9.extra', 'patch_embed.norm.weight']
    assert 'not used' in report.summary()


def test_unknown_format(tmp_path):
    path = save({'layer1.0.conv1.weight': torch.ones(1)}, tmp_path)
    with pytest.raises(CheckpointError) as error:
        load_backbone(build(), path)
    assert re.search(
        r'file.pth is not a Swin in a known format. Its first names: '
        r'layer1.0.conv1.weight\. Known are .*Microsoft, .*mmdet/mmseg, ',
        str(error.value),
    )


def test_init_cfg_loads(tmp_path):
    weights = native()
    path = save(detector(weights), tmp_path)
    model = build(init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    model.init_weights()
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_summary_is_logged(monkeypatch):
    lines = []
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(logger, 'info', lines.append)
    report = load_backbone(build(), native())
    assert lines == [report.summary()]


class Head(nn.Module):
    """The layers of a box head that depend on the number of classes."""

    def __init__(self, num_classes):
        super().__init__()
        self.num_classes = num_classes
        self.fc_cls = nn.Linear(6, num_classes + 1)
        self.fc_reg = nn.Linear(6, 4 * num_classes)


class Detector(nn.Module):
    """A backbone and a head, named as in the hosts."""

    def __init__(self, num_classes, arch='tiny'):
        super().__init__()
        self.backbone = build(arch)
        self.bbox_head = Head(num_classes)


def whole(num_classes, classes=None, arch='tiny'):
    file = {
        'state_dict': random_like(Detector(num_classes, arch).state_dict())
    }
    if classes:
        file['meta'] = {'dataset_meta': {'classes': tuple(classes)}}
    return file


def test_whole_model():
    file, model = whole(3), Detector(3)
    report = load_model(model, file)
    assert report.source_format == 'Microsoft detector'
    for name, value in model.state_dict().items():
        assert torch.equal(value, file['state_dict'][name])


def test_whole_model_with_the_names_of_mmdet():
    file, model = whole(3), Detector(3)
    state_dict = file['state_dict']
    backbone = {
        k[9:]: v for k, v in state_dict.items() if k[:9] == 'backbone.'
    }
    reference = {
        f'backbone.{k}': v for k, v in export(backbone, 'mmdet').items()
    }
    reference[
        'backbone.stages.0.blocks.0.attn.w_msa.relative_position_index'
    ] = torch.zeros(49, 49)
    reference.update(
        {k: v for k, v in state_dict.items() if k[:9] != 'backbone.'}
    )
    report = load_model(model, {'state_dict': reference})
    assert report.source_format == 'mmdet/mmseg detector'
    assert len(report.dropped) == 1
    for name, value in model.state_dict().items():
        assert torch.equal(value, state_dict[name])


def test_other_number_of_classes_is_explained():
    model = Detector(3)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        load_model(model, whole(80))
    text = str(error.value)
    assert (
        '4 have another shape (bbox_head.fc_cls.weight: (81, 6) in the '
        'file, (4, 6) in the model; '
    ) in text
    assert 'The checkpoint has 80 classes, the model 3 (bbox_head.fc' in text
    assert 'Set num_classes to 80; or train: with load_from=FILE' in text
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_whole_model_of_another_variant():
    with pytest.raises(CheckpointError) as error:
        load_model(Detector(3, 'small'), whole(3))
    assert 'backbone.layers.2.blocks.6.norm1.weight' in str(error.value)
    assert 'depths 2-2-6-2' in str(error.value)


def test_backbone_in_place_of_a_model():
    with pytest.raises(CheckpointError, match='It holds a backbone only'):
        load_model(Detector(3), classifier())


def test_model_that_is_no_swin():
    state_dict = random_like(Head(3).state_dict())
    model = Head(3)
    load_model(model, {'state_dict': state_dict})
    assert torch.equal(model.fc_cls.weight, state_dict['fc_cls.weight'])
    with pytest.raises(CheckpointError, match='fc_reg.weight'):
        load_model(Head(3), {'fc_cls.weight': torch.ones(4, 6)})


def test_classes_in_another_order():
    file = whole(3, ['circle', 'square', 'triangle'])
    with pytest.raises(CheckpointError) as error:
        load_model(Detector(3), file, classes=['square', 'circle', 'triangle'])
    assert (
        "'square' is 1 in the checkpoint and 0 in the data set, 'circle' "
        'is 0 in the checkpoint and 1 in the data set'
    ) in str(error.value)
    load_model(Detector(3), file, classes=('circle', 'square', 'triangle'))
    model = Detector(3)
    model.dataset_meta = dict(classes=('square', 'circle', 'triangle'))
    with pytest.raises(CheckpointError, match='another order'):
        load_model(model, file)


def test_other_classes_are_a_warning(monkeypatch):
    lines = []
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(logger, 'warning', lines.append)
    load_model(
        Detector(2), whole(2, ['cat', 'dog']), classes=['person', 'car']
    )
    assert lines == [
        'the given state_dict was trained for other classes: cat, dog '
        'instead of person, car'
    ]
