"""projects/simmim: masked images, reconstruction, loss, training."""

import importlib
import subprocess

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from helpers.command_line import CONFIG, REPOSITORY, launch, run
from helpers.models import randomize
from helpers.reference import window_attention
from helpers.saved_runs import assert_same_state
from helpers.slow_pyramid import below, cat_channels, linear, mlp, norm
from projects.simmim.mask import SimMIMMask
from projects.simmim.model import SimMIM, local_statistics
from swin_dense.backbones import SwinTransformer, SwinTransformerV2
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.engine import compare_trainings
from swin_dense.engine.launch import load_config
from swin_dense.pretraining import comparison
from swin_dense.registry import MODELS

PROJECT = REPOSITORY / 'projects' / 'simmim'
CONFIGS = sorted((PROJECT / 'configs').glob('*.py'))
PRETRAINING = [path for path in CONFIGS if path.stem.startswith('simmim')]
DEPTHS = [2, 2, 1]
SIZES = dict(embed_dims=8, depths=DEPTHS, num_heads=[1, 2, 4])
# Maps of 8, 4 and 2 tokens: the second is as large as the window, the third
# is smaller.
SMALL = {
    'v1': dict(
        type='SimMIMSwinTransformer',
        img_size=32,
        window_size=4,
        drop_path_rate=0.0,
        **SIZES,
    ),
    'v2': dict(
        type='SimMIMSwinTransformerV2',
        img_size=32,
        window_size=4,
        arch=SIZES,
        drop_path_rate=0.0,
    ),
}


def make(name, **settings):
    """Return a small model in float64 with random weights, in training."""
    model = randomize(SimMIM(SMALL[name], **settings)).double()
    return model.train()


def draw(seed=0):
    """Return two images and their masks, 10 of 16 cells each."""
    np.random.seed(seed)
    mask = SimMIMMask(img_size=32, cell_size=8)
    masks = torch.from_numpy(np.stack([mask.draw(), mask.draw()]))
    return torch.randn(2, 3, 32, 32, dtype=torch.float64), masks


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


# ------------------------------------------------------- slow references


def slow_encoder(encoder, image, mask):
    """Compute the map `(C, h, w)` of one image, token by token."""
    state = dict(encoder.named_parameters())
    is_v2 = 'mask_token' in state and any('logit_scale' in n for n in state)
    tokens = F.conv2d(
        image[None],
        state['patch_embed.proj.weight'],
        state['patch_embed.proj.bias'],
        stride=4,
    )[0].permute(1, 2, 0)
    tokens = norm(state, 'patch_embed.norm', tokens)
    rows = []
    for row in range(len(tokens)):
        for column in range(len(tokens)):
            is_masked = mask[row, column] == 1
            rows.append(
                state['mask_token'][0, 0] if is_masked else tokens[row, column]
            )
    x = torch.stack(rows).view(tokens.shape)
    for stage, depth in enumerate(DEPTHS):
        side = len(x)
        for number in range(depth):
            block = encoder.layers[stage].blocks[number]
            part = below(state, f'layers.{stage}.blocks.{number}.')
            shift = 2 * (number % 2) if side > 4 else 0
            sizes = (min(4, side),) * 2, (shift,) * 2
            if is_v2:
                mixed = window_attention(x, block.attn, *sizes)
                x = x + norm(part, 'norm1', mixed)
                x = x + norm(part, 'norm2', mlp(part, x))
            else:
                mixed = norm(part, 'norm1', x)
                x = x + window_attention(mixed, block.attn, *sizes)
                x = x + mlp(part, norm(part, 'norm2', x))
        if stage < len(DEPTHS) - 1:
            part = below(state, f'layers.{stage}.downsample.')
            x = cat_channels(
                [x[i::2, j::2] for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))]
            )
            x = (
                norm(part, 'norm', linear(part, 'reduction', x))
                if is_v2
                else linear(part, 'reduction', norm(part, 'norm', x))
            )
    return norm(state, 'norm', x).permute(2, 0, 1)


def slow_decoder(model, encoded):
    """Return the reconstruction `(3, H, W)` of a map `(C, h, w)`."""
    weight = model.decoder[0].weight[:, :, 0, 0]
    _, height, width = encoded.shape
    image = encoded.new_zeros(3, 16 * height, 16 * width)
    for row in range(height):
        for column in range(width):
            values = weight @ encoded[:, row, column] + model.decoder[0].bias
            image[
                :,
                16 * row : 16 * row + 16,
                16 * column : 16 * column + 16,
            ] = values.view(3, 16, 16)
    return image


def slow_target(image, size):
    """Normalise each pixel of `(3, H, W)` by its neighbourhood."""
    half, target = size // 2, torch.zeros_like(image)
    for channel in range(3):
        for y in range(image.shape[1]):
            for x in range(image.shape[2]):
                near = image[
                    channel,
                    max(0, y - half) : y + half + 1,
                    max(0, x - half) : x + half + 1,
                ]
                target[channel, y, x] = (
                    image[channel, y, x] - near.mean()
                ) / (near.var(unbiased=True) + 1e-6).sqrt()
    return target


def slow_loss(images, reconstructions, masks):
    """Average the distances of masked pixels, one by one."""
    total = number = 0
    for image, reconstruction, mask in zip(images, reconstructions, masks):
        for y in range(image.shape[1]):
            for x in range(image.shape[2]):
                if mask[y // 4, x // 4]:
                    difference = image[:, y, x] - reconstruction[:, y, x]
                    total = total + difference.abs().sum()
                    number += 1
    return total / (number + 1e-5) / 3


@pytest.mark.parametrize('name', SMALL)
def test_reconstruction_and_gradients_are_those_of_the_reference(name):
    model, (images, masks) = make(name), draw()
    encoded = model.encoder(images, masks)
    assert encoded.shape == (2, 32, 2, 2)
    out = model(images, masks)
    slow = torch.stack(
        [slow_encoder(model.encoder, i, m) for i, m in zip(images, masks)]
    )
    torch.testing.assert_close(encoded, slow, rtol=1e-6, atol=1e-6)
    slow = torch.stack([slow_decoder(model, part) for part in slow])
    torch.testing.assert_close(out, slow, rtol=1e-6, atol=1e-6)
    loss = model(images, masks, mode='loss')['loss']
    expected = slow_loss(images, slow, masks)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(loss, parameters.values())
    slow = torch.autograd.grad(expected, parameters.values())
    for parameter, gradient, other in zip(parameters, gradients, slow):
        torch.testing.assert_close(
            gradient, other, rtol=1e-5, atol=1e-7, msg=parameter
        )


def test_the_normalised_target_is_that_of_the_reference():
    model, (images, masks) = make('v2', norm_target_size=7), draw()
    images[1, :, 4:20, 8:] = 0.5  # one colour
    slow = torch.stack([slow_target(image, 7) for image in images])
    torch.testing.assert_close(model.target(images), slow)
    out = model(images, masks)
    torch.testing.assert_close(
        model(images, masks, 'loss')['loss'], slow_loss(slow, out, masks)
    )


def test_statistics_at_the_published_size():
    images = torch.randn(1, 2, 60, 50, dtype=torch.float64)
    mean, deviation = local_statistics(images, 47)
    for y, x in ((0, 0), (30, 25), (59, 10), (23, 49)):
        near = images[0, :, max(0, y - 23) : y + 24, max(0, x - 23) : x + 24]
        near = near.flatten(1)
        torch.testing.assert_close(mean[0, :, y, x], near.mean(1))
        torch.testing.assert_close(
            deviation[0, :, y, x], (near.var(1) + 1e-6).sqrt()
        )
    flat = torch.full((1, 3, 64, 64), 1.7)
    mean, deviation = local_statistics(flat, 47)
    assert ((flat - mean) / deviation).abs().max() < 1e-2


def test_gradients_of_the_loss_stay_within_the_mask():
    model, (images, masks) = make('v1'), draw()
    out = torch.randn_like(images, requires_grad=True)
    model.loss(images, out, masks).backward()
    pixels = F.interpolate(masks[:, None].double(), scale_factor=4)
    pixels = pixels.expand_as(images) == 1
    assert out.grad[~pixels].eq(0).all()
    step = 1 / (3 * masks.sum() * 16)
    torch.testing.assert_close(
        out.grad[pixels].abs(), step.double().expand(int(pixels.sum()))
    )


def test_the_loss_is_finite_in_half_precision():
    model, (images, masks) = make('v2', norm_target_size=7), draw()
    model = model.float()
    images = images.float()
    full = model(images, masks, 'loss')['loss']
    with torch.autocast('cpu', torch.bfloat16):
        half = model(images, masks, 'loss')['loss']
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0.02, atol=0)


# ---------------------------------------------------------------- masks


def test_masks_have_the_share_of_the_cells():
    np.random.seed(0)
    generator = SimMIMMask()
    masks = [generator(dict(img=1))['mask'] for _ in range(50)]
    for mask in masks:
        assert mask.shape == (48, 48) and mask.dtype == np.int64
        assert mask.sum() == 22 * 64 and {*np.unique(mask)} == {0, 1}
        cells = mask.reshape(6, 8, 6, 8)
        assert (cells == cells[:, :1, :, :1]).all()
    assert np.mean(masks, 0).min() > 0.35 and np.mean(masks, 0).max() < 0.85
    # The cells are the first of NumPy's permutation.
    np.random.seed(3)
    first = np.random.permutation(36)[:22]
    np.random.seed(3)
    cells = generator.draw()[::8, ::8].ravel()
    assert {*np.flatnonzero(cells)} == {*first}


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(img_size=200), 'img_size=200 is no multiple of cell_size=32'),
        (dict(cell_size=6), 'cell_size=6 is no multiple of patch_size=4'),
        (dict(img_size=16), 'img_size=16 is no multiple of cell_size=32'),
        (dict(ratio=0), 'ratio=0 is no share of the cells'),
        (dict(ratio=1.5), 'ratio=1.5 is no share of the cells'),
    ],
)
def test_masks_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        SimMIMMask(**settings)


def test_a_mask_of_another_grid_is_refused():
    model, (images, masks) = make('v1'), draw()
    with pytest.raises(
        ValueError,
        match=r'mask has the shape \(2, 4, 4\), but the images have '
        r'\(2, 8, 8\) patches of 4x4 pixels',
    ):
        model(images, masks[:, ::2, ::2])
    with pytest.raises(ValueError, match="modes 'tensor' and 'loss', got 'p"):
        model(images, masks, mode='predict')


@pytest.mark.parametrize('size', [1, 46])
def test_a_neighbourhood_has_a_centre(size):
    with pytest.raises(ValueError, match=f'norm_target_size={size} must be'):
        SimMIM(SMALL['v1'], norm_target_size=size)


# -------------------------------------------------------------- configs


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_configs(path):
    config = load_config(path)
    first = path.read_text().splitlines()[0]
    assert f'projects/simmim/configs/{path.name}' in first
    assert {*config.recipe} == {'published', 'measured', 'hardware', 'paper'}
    if path in PRETRAINING:
        with torch.device('meta'):
            model = MODELS.build(config.model)
        (mask,) = (
            step for step in config.train_pipeline if step.type == 'SimMIMMask'
        )
        assert mask.img_size == config.model.encoder.img_size
        assert isinstance(model, SimMIM)


def test_published_sizes_and_settings():
    def load(name):
        config = load_config(PROJECT / 'configs' / f'simmim_{name}ep.py')
        with torch.device('meta'):
            return config, MODELS.build(config.model)

    config, model = load('swin_b_imagenet_800')
    assert count(model) == 89_874_104
    assert model.encoder.mask_token.numel() == 128
    assert count(model.decoder) == 3_148_800
    assert model.norm_target_size is None
    warm_up, steps = config.param_scheduler
    rate = config.optim_wrapper.optimizer.lr
    assert (rate, warm_up.end) == (4e-4, 10)
    assert rate * warm_up.start_factor == pytest.approx(4 * 5e-7)
    assert (steps.milestones, steps.gamma) == ([700], 0.1)
    assert config.optim_wrapper.paramwise_cfg == {'decays_position_bias': True}

    config, model = load('swin_b_imagenet_100')
    rate = config.optim_wrapper.optimizer.lr
    warm_up, cosine = config.param_scheduler
    assert rate == 4 * 2e-4
    assert rate * warm_up.start_factor == pytest.approx(4 * 1e-6)
    assert rate * cosine.eta_min_ratio == pytest.approx(4 * 1e-5)
    assert config.train_cfg.max_epochs == 100

    _, model = load('swin_l_imagenet_800')
    assert count(model) == 199_920_372
    _, model = load('swinv2_b_imagenet_800')
    assert model.norm_target_size == 47
    windows = [stage.window_size for stage in model.encoder.layers]
    assert windows == [(12, 12)] * 3 + [(6, 6)]
    assert model.encoder.layers[3].blocks[1].drop_path.rate == 0.1


def test_downstream_configs_differ_by_the_checkpoint_alone():
    configs = PROJECT / 'configs'
    scratch = load_config(configs / 'mask_rcnn_swin_nano_shapes_50.py')
    other = load_config(configs / 'mask_rcnn_swin_nano_shapes_50_simmim.py')
    checkpoint = other.model.backbone.pop('init_cfg').checkpoint
    assert scratch.model.backbone.pop('init_cfg') is None
    assert scratch.model == other.model
    for key in ('train_dataloader', 'optim_wrapper', 'param_scheduler'):
        assert scratch[key] == other[key]
    assert scratch.train_dataloader.dataset.indices == 50
    unlabelled = load_config(configs / 'simmim_swin_nano_shapes.py')
    sizes = unlabelled.model.encoder
    for key in ('embed_dims', 'depths', 'num_heads', 'window_size'):
        assert sizes[key] == scratch.model.backbone[key]
    last = f'{unlabelled.work_dir}/iter_{unlabelled.train_cfg.max_iters}.pth'
    assert last == checkpoint


# ------------------------------------------------------------- training


@pytest.fixture
def picture(monkeypatch):
    monkeypatch.syspath_prepend(str(PROJECT))
    return importlib.import_module('picture')


@pytest.fixture
def images(tmp_path):
    """Return a folder of photographs of 40 x 48 pixels."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(8):
        coarse = generator.integers(0, 256, (5, 6, 3), np.uint8)
        image = cv2.resize(coarse, (48, 40), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f'{number}.png'), image)
    return folder


@pytest.fixture
def config(images, tmp_path):
    """Return a function that writes a config of a small model."""

    def write(name='v1', steps=4, **settings):
        base = load_config(PROJECT / 'configs' / 'simmim_swin_nano_shapes.py')
        encoder = dict(SMALL[name])
        base.model.encoder = encoder
        base.model.norm_target_size = 7 if name == 'v2' else None
        crop, flip, mask, pack = base.train_pipeline
        base.train_dataloader = dict(
            batch_size=4,
            num_workers=0,
            drop_last=True,
            sampler=dict(type='InfiniteSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
            dataset=dict(
                type='swin_dense.ImageFolderDataset',
                data_root=str(images),
                pipeline=[
                    dict(crop, size=32),
                    flip,
                    dict(mask, img_size=32, cell_size=8),
                    pack,
                ],
            ),
        )
        base.train_cfg.max_iters = steps
        base.default_hooks.checkpoint.interval = 2
        base.default_hooks.logger.interval = 1
        base.merge_from_dict(settings)
        path = tmp_path / f'{name}.py'
        base.dump(str(path))
        return path

    return write


@pytest.mark.parametrize(
    'name, backbone',
    [
        ('v1', SwinTransformer(**SIZES, window_size=4)),
        ('v2', SwinTransformerV2(arch=SIZES, window_size=3)),
    ],
)
def test_training_and_the_use_of_its_weights(
    name, backbone, config, tmp_path, capsys
):
    path = config(name)
    assert run('train', path, '--work-dir', tmp_path / 'run') == 0
    file = tmp_path / 'run' / 'iter_4.pth'
    saved = read_checkpoint(file)
    state = saved['state_dict']
    assert {'encoder.mask_token', 'encoder.norm.weight', 'decoder.0.bias'} < {
        *state
    }
    backbone.init_cfg = dict(type='Pretrained', checkpoint=str(file))
    backbone.init_weights()
    loaded = backbone.state_dict()
    for part in (
        'patch_embed.proj.weight',
        'layers.0.downsample.reduction.weight',
        'layers.2.blocks.0.mlp.fc1.weight',
    ):
        assert loaded[part].equal(state[f'encoder.{part}'])
    if name == 'v2':  # the windows of the pretraining are used
        attention = backbone.layers[2].blocks[0].attn
        assert attention.pretrained_window_size == (2, 2)
        assert backbone.layers[0].blocks[0].attn.pretrained_window_size == (
            4,
            4,
        )


def test_a_training_that_is_resumed_ends_as_one_that_is_not(config, tmp_path):
    path = config()
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    assert run('train', path, '--work-dir', whole, '--seed', 1) == 0
    half = ['--cfg-options', 'train_cfg.max_iters=2']
    assert run('train', path, '--work-dir', parts, '--seed', 1, *half) == 0
    assert run('train', path, '--work-dir', parts, '--resume') == 0
    assert_same_state(whole / 'iter_4.pth', parts / 'iter_4.pth')


def test_two_processes(config, tmp_path):
    path = config('v2')
    log = launch(
        'dist_train.sh', path, 2, '--work-dir', tmp_path / 'run', '--seed', 1
    )
    assert 'iteration 4/4' in log
    assert (tmp_path / 'run' / 'iter_4.pth').is_file()


def test_too_many_damaged_images_are_a_sentence(config, images, capsys):
    path = config()
    (images / '3.png').write_bytes(b'text')
    assert run('train', path, '--work-dir', images.parent / 'run') == 1
    error = capsys.readouterr().err
    assert '1 of 8 images in' in error and 'max_unreadable' in error


def test_the_comparison(config, tmp_path, monkeypatch, capsys):
    """The pretraining and both detectors, of the smallest size."""

    start = subprocess.run

    def train_here(command, **settings):
        if 'swin_dense' not in command:
            return start(command, **settings)
        return subprocess.CompletedProcess(command, run('train', *command[4:]))

    monkeypatch.setattr(compare_trainings.subprocess, 'run', train_here)
    detector = tmp_path / 'detector.py'
    detector.write_text(
        f'_base_ = {CONFIG!r}\n'
        f'sizes = dict(depths={DEPTHS}, num_heads=[1, 2, 4])\n'
        'model = dict(\n'
        '    backbone=dict(**sizes, out_indices=[0, 1, 2]),\n'
        '    neck=dict(in_channels=[8, 16, 32], num_outs=4))\n'
        'train_cfg = dict(val_interval=2)\n'
    )
    parser = compare_trainings.make_parser(
        '', '', work_dir=str(tmp_path / 'runs')
    )
    comparison.add_pretraining_arguments(
        parser,
        config=str(detector),
        pretraining=str(config(work_dir=str(tmp_path / 'pretraining'))),
    )
    options = ['--seeds', '0', '--processes', '1', '--cfg-options']
    args = parser.parse_args([*options, f'data_root={tmp_path}/data/'])
    assert comparison.compare_pretraining(args) == 0
    assert (tmp_path / 'pretraining' / 'iter_4.pth').is_file()
    printed = capsys.readouterr().out
    for variant in ('from scratch', 'pretrained'):
        assert f'{variant}, seed 0: 0.' in printed
        assert f'| {variant} | 1 | 0.' in printed
    log = next((tmp_path / 'runs' / 'pretrained_0').glob('*/*.log'))
    assert 'iter_4.pth' in log.read_text()


def test_the_picture(picture, config, images, tmp_path):
    for name in SMALL:
        path = config(name)
        assert run('train', path, '--work-dir', tmp_path / name) == 0
        out = tmp_path / f'{name}.png'
        arguments = [
            path,
            tmp_path / name / 'iter_4.pth',
            images,
            '--limit',
            2,
        ]
        assert picture.main([*map(str, arguments), '--out', str(out)]) == 0
        sheet = cv2.imread(str(out))
        height, width = sheet.shape[:2]
        assert picture.TILE < height < 2 * picture.TILE
        assert width > 6 * picture.TILE


def test_the_picture_pastes_visible_pixels(picture):
    model = SimMIM(
        SMALL['v1'],
        data_preprocessor=dict(type='swin_dense.ImagePreprocessor'),
    ).eval()
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    mask = np.zeros((8, 8), np.int64)
    mask[2:4, 4:6] = 1
    masked, reconstruction, original = picture.pictures_of(model, image, mask)
    np.testing.assert_array_equal(original, image)
    is_hidden = mask.repeat(4, 0).repeat(4, 1) == 1
    np.testing.assert_array_equal(masked[~is_hidden], image[~is_hidden])
    assert (masked[is_hidden] == masked[8, 16]).all()
    np.testing.assert_array_equal(
        reconstruction[~is_hidden], image[~is_hidden]
    )
