"""projects/feature_distillation: predict the features of a teacher."""

import cv2
import numpy as np
import pytest
import torch

from helpers.command_line import REPOSITORY, run
from helpers.models import official_classifier, randomize
from projects.feature_distillation.model import FeatureDistillation
from swin_dense.backbones import SwinMLP, SwinTransformer, SwinTransformerV2
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.engine.launch import load_config
from swin_dense.registry import MODELS

CONFIGS = sorted(
    (REPOSITORY / 'projects' / 'feature_distillation' / 'configs').glob('*.py')
)
SIZES = dict(embed_dims=8, depths=[2, 1], num_heads=[1, 2])
STUDENT = dict(
    type='SwinV2Encoder',
    arch=SIZES,
    img_size=16,
    window_size=2,
    drop_path_rate=0.0,
    branch_norm_init=1e-5,
)
TEACHERS = {
    'encoder': dict(
        type='SwinEncoder',
        embed_dims=12,
        depths=[1, 1],
        num_heads=[1, 2],
        img_size=16,
        window_size=2,
        drop_path_rate=0.9,
    ),
    'backbone': dict(
        type='SwinTransformer',
        embed_dims=12,
        depths=[1, 1],
        num_heads=[1, 2],
        window_size=2,
    ),
    'MLP': dict(
        type='SwinMLP',
        arch=dict(embed_dims=12, depths=[1, 1], num_heads=[1, 2]),
        window_size=2,
    ),
}


def make(teacher='encoder', **settings):
    """Return a small model in float64 with random weights, in training."""
    model = FeatureDistillation(STUDENT, TEACHERS[teacher], **settings)
    return randomize(model).double().train()


def slow_loss(predicted, features):
    """Compare tokens `(B, N, C)` one by one."""
    losses = []
    for tokens, others in zip(predicted, features):
        for token, other in zip(tokens, others):
            deviation = (other.var(unbiased=False) + 1e-5).sqrt()
            target = (other - other.mean()) / deviation
            for a, b in zip(token, target):
                distance = (a - b).abs()
                losses.append(
                    distance.square() / 4 if distance < 2 else distance - 1
                )
    return torch.stack(losses).mean()


@pytest.mark.parametrize('teacher', TEACHERS)
def test_the_loss_is_that_of_the_reference(teacher):
    model = make(teacher)
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    predicted = model(images)
    assert predicted.shape == (2, 4, 24)
    features = model.feature_model(images)
    features = features if torch.is_tensor(features) else features[-1]
    loss = model(images, mode='loss')['loss']
    expected = slow_loss(predicted, features.flatten(2).transpose(1, 2))
    torch.testing.assert_close(loss, expected)
    target = model.target(images, (2, 2))
    assert target.mean(-1).abs().max() < 1e-12
    torch.testing.assert_close(
        target.var(-1, unbiased=False),
        torch.ones(2, 4).double(),
        rtol=1e-3,
        atol=0,
    )
    encoded = model.encoder(images)
    weight = model.decoder[0].weight[:, :, 0]
    torch.testing.assert_close(
        predicted[1, 3], weight @ encoded[1, :, 1, 1] + model.decoder[0].bias
    )


def test_a_student_that_knows_the_features_has_no_loss(monkeypatch):
    model = make()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    target = model.target(images, (2, 2))
    monkeypatch.setattr(
        model.decoder, 'forward', lambda tokens: target.transpose(1, 2)
    )
    assert model(images, mode='loss')['loss'] == 0


def test_the_teacher_does_not_learn():
    model = make()
    assert model.encoder.training and not model.feature_model.training
    assert not any(m.training for m in model.feature_model.modules())
    model(torch.randn(2, 3, 16, 16).double(), mode='loss')['loss'].backward()
    assert all(p.grad is None for p in model.feature_model.parameters())
    assert all(p.grad is not None for p in model.encoder.parameters())
    assert model.decoder[0].weight.grad.abs().sum() > 0


def test_the_loss_is_finite_in_half_precision():
    model, images = make().float(), torch.randn(2, 3, 16, 16)
    full = model(images, mode='loss')['loss']
    with torch.autocast('cpu', torch.bfloat16):
        half = model(images, mode='loss')['loss']
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0.05, atol=0)


def test_initialisation(logged):
    torch.manual_seed(0)
    model = FeatureDistillation(STUDENT, TEACHERS['encoder'])
    model.init_weights()
    assert 'the teacher has no weights' in logged.text
    torch.manual_seed(0)
    plain = FeatureDistillation(
        STUDENT, TEACHERS['encoder'], rescales_branches=False
    )
    plain.init_weights()
    blocks, others = (
        [block for stage in m.encoder.layers for block in stage.blocks]
        for m in (model, plain)
    )
    for number, (block, other) in enumerate(zip(blocks, others), 1):
        assert block.norm1.weight.eq(1e-5).all()
        assert block.norm2.weight.eq(1e-5).all()
        for part in ('attn.proj', 'mlp.fc2'):
            torch.testing.assert_close(
                block.get_submodule(part).weight * (2 * number) ** 0.5,
                other.get_submodule(part).weight,
            )
        assert block.mlp.fc1.weight.equal(other.mlp.fc1.weight)


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(teacher_channels=32), 'has 24 channels, not teacher_channels=3'),
        (dict(beta=0), 'beta=0 must be a number above 0'),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_a_teacher_of_other_images_or_maps():
    grey = dict(TEACHERS['backbone'], in_channels=1)
    with pytest.raises(ValueError, match='images of 3 channels, the teacher'):
        FeatureDistillation(STUDENT, grey)
    fine = dict(TEACHERS['backbone'], patch_size=2)
    model = FeatureDistillation(STUDENT, fine)
    with pytest.raises(
        ValueError, match='teacher has 4x4 tokens, that of the encoder 2x2'
    ):
        model(torch.randn(1, 3, 16, 16), mode='loss')
    with pytest.raises(ValueError, match="modes 'tensor' and 'loss', got"):
        model(torch.randn(1, 3, 16, 16), mode='predict')


@pytest.mark.parametrize('cls', [SwinTransformer, SwinMLP])
def test_a_teacher_has_the_norm_of_the_classifier(cls, tmp_path):
    kind = {SwinTransformer: 'backbone', SwinMLP: 'MLP'}[cls]
    settings = {k: v for k, v in TEACHERS[kind].items() if k != 'type'}
    state = official_classifier(randomize(cls(**settings, out_indices=(1,))))
    path = tmp_path / 'classifier.pth'
    torch.save(state, path)
    weights = state.get('model', state)
    for final_norm in (True, False):
        teacher = dict(
            TEACHERS[kind],
            init_cfg=dict(
                type='Pretrained',
                checkpoint=str(path),
                final_norm=final_norm,
            ),
        )
        model = FeatureDistillation(STUDENT, teacher)
        model.init_weights()
        norm = model.feature_model.norm1.weight
        assert norm.equal(weights['norm.weight']) == final_norm


# -------------------------------------------------------------- configs


def test_published_sizes_and_settings():
    config = load_config(CONFIGS[0])
    with torch.device('meta'):
        model = MODELS.build(config.model)
    encoder = sum(p.numel() for p in model.encoder.parameters())
    decoder = sum(p.numel() for p in model.decoder.parameters())
    assert (encoder, encoder + decoder) == (86_893_816, 87_943_416)
    assert encoder + decoder == sum(
        p.numel() for p in model.parameters() if p.requires_grad
    )
    windows = [stage.window_size for stage in model.encoder.layers]
    assert windows == [(14, 14)] * 3 + [(7, 7)]
    assert model.encoder.branch_norm_init == 1e-5
    assert (model.beta, model.rescales_branches) == (2.0, True)
    rate = config.optim_wrapper.optimizer.lr
    warm_up, cosine = config.param_scheduler
    assert (rate, warm_up.end, cosine.end) == (4 * 2e-4, 10, 300)
    assert rate * warm_up.start_factor == pytest.approx(4 * 1e-6)
    assert rate * cosine.eta_min_ratio == pytest.approx(4 * 1e-5)
    assert config.optim_wrapper.clip_grad.max_norm == 3
    assert not config.optim_wrapper.paramwise_cfg.decays_position_bias


def test_training_and_the_use_of_its_weights(tmp_path):
    assert [path.stem for path in CONFIGS] == [
        'fd_swinv2_b_imagenet_300ep',
        'fd_swinv2_nano_shapes',
    ]
    photos = tmp_path / 'photos'
    photos.mkdir()
    for number in range(4):
        image = np.random.default_rng(number).integers(0, 256, (20, 24, 3))
        cv2.imwrite(str(photos / f'{number}.png'), image)
    teacher = randomize(
        SwinTransformer(
            **{k: v for k, v in TEACHERS['backbone'].items() if k != 'type'}
        )
    )
    torch.save({'state_dict': teacher.state_dict()}, tmp_path / 'teacher.pth')
    config = load_config(CONFIGS[1])
    assert config.model.teacher_channels == 128
    config.model.encoder = STUDENT
    config.model.teacher = dict(
        TEACHERS['backbone'],
        init_cfg=dict(
            type='Pretrained', checkpoint=str(tmp_path / 'teacher.pth')
        ),
    )
    config.model.teacher_channels = 24
    config.train_dataloader.update(batch_size=2, num_workers=0)
    config.train_dataloader.pop('persistent_workers')
    crop, *rest = config.train_dataloader.dataset.pipeline
    config.train_dataloader.dataset = dict(
        type='ImageFolderDataset',
        data_root=str(photos),
        pipeline=[dict(crop, size=16), *rest],
    )
    config.train_cfg.max_iters = 2
    config.default_hooks.checkpoint.interval = 2
    path = tmp_path / 'config.py'
    config.dump(str(path))
    assert run('train', path, '--work-dir', tmp_path / 'run') == 0
    file = tmp_path / 'run' / 'iter_2.pth'
    state = read_checkpoint(file)['state_dict']
    assert state['feature_model.norm1.weight'].equal(teacher.norm1.weight)
    student = SwinTransformerV2(
        arch=SIZES,
        window_size=2,
        init_cfg=dict(type='Pretrained', checkpoint=str(file)),
    )
    student.init_weights()
    name = 'layers.1.blocks.0.mlp.fc1.weight'
    assert student.state_dict()[name].equal(state[f'encoder.{name}'])
