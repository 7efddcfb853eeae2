"""projects/moby: two views, momentum networks, queues."""

from math import log

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub

from helpers.command_line import REPOSITORY, launch, run
from helpers.models import randomize
from helpers.saved_runs import assert_same_state
from projects.moby.model import MoBY
from projects.moby.views import Blur, ColourJitter, Grey, Solarise, TwoViews
from swin_dense.backbones import SwinTransformer
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.engine.launch import load_config
from swin_dense.registry import MODELS

CONFIGS = REPOSITORY / 'projects' / 'moby' / 'configs'
SIZES = dict(embed_dims=8, depths=[2, 1], num_heads=[1, 2])
ENCODER = dict(
    type='SwinEncoder', **SIZES, img_size=16, window_size=2, drop_path_rate=0.5
)
SMALL = dict(encoder=ENCODER, queue_size=8, hidden_channels=6, channels=4)


def make(**settings):
    """Return a small model in float64 with random weights, in training."""
    return randomize(MoBY(**{**SMALL, **settings})).double().train()


def views(seed=0, batch=2):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, 3, 16, 16, generator=generator, dtype=torch.float64)
        for _ in range(2)
    ]


def slow_vector(mlp, x):
    """Apply a network of two layers to a batch, one channel at a time."""
    hidden, out = mlp.linear_hidden, mlp.linear_out
    x = x @ hidden[1].weight.T + hidden[1].bias
    channels = []
    for channel, weight, bias in zip(x.T, hidden[2].weight, hidden[2].bias):
        deviation = (channel.var(unbiased=False) + 1e-5).sqrt()
        channels.append((channel - channel.mean()) / deviation * weight + bias)
    x = torch.stack(channels, 1).clamp(min=0)
    return x @ out.weight.T + out.bias


def slow_contrast(queries, keys, queue, temperature=0.2):
    """Return the cross entropy, image by image."""
    losses = []
    for query, key in zip(queries, keys):
        scores = [query @ key, *(query @ old for old in queue.T)]
        powers = [(score / temperature).exp() for score in scores]
        losses.append(-(powers[0] / sum(powers)).log())
    return torch.stack(losses).mean()


def test_the_step_is_that_of_the_reference(monkeypatch):
    model = make(encoder=dict(ENCODER, drop_path_rate=0.0), momentum=0.9)
    monkeypatch.setattr(model, 'progress', lambda: (3, 10))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    both = views()

    def unit(x):
        return x / x.norm(dim=1, keepdim=True)

    queries = [
        unit(
            slow_vector(
                model.predictor,
                slow_vector(model.projector, model.encoder(view).mean((2, 3))),
            )
        )
        for view in both
    ]
    queues = [model.queue1.clone(), model.queue2.clone()]
    loss = model(both, mode='loss')['loss']
    momentum = 1 - 0.1 * (np.cos(0.3 * np.pi) + 1) / 2
    for online in ('encoder', 'projector'):
        module = getattr(model, f'{online}_k')
        for name, value in module.named_parameters():
            expected = (
                momentum * before[f'{online}_k.{name}']
                + (1 - momentum) * before[f'{online}.{name}']
            )
            torch.testing.assert_close(value, expected)
    # The keys come from the networks after their update.
    keys = [
        unit(
            slow_vector(model.projector_k, model.encoder_k(view).mean((2, 3)))
        )
        for view in both
    ]
    expected = slow_contrast(queries[0], keys[1], queues[1])
    expected = expected + slow_contrast(queries[1], keys[0], queues[0])
    torch.testing.assert_close(loss, expected)
    for queue, old, key in zip((model.queue1, model.queue2), queues, keys):
        torch.testing.assert_close(queue[:, :2], key.T)
        assert queue[:, 2:].equal(old[:, 2:])
    assert model.queue_ptr.tolist() == [2]
    loss.backward()
    for name, parameter in model.named_parameters():
        is_slow = name.split('.')[0].endswith('_k')
        assert (parameter.grad is None) == is_slow, name


def test_equal_logits():
    model = MoBY(dict(ENCODER))
    ones = torch.zeros(2, 256)
    loss = model.contrast(ones, ones, model.queue1)
    assert float(2 * loss) == pytest.approx(2 * log(4097), abs=1e-5)
    assert float(2 * loss) == pytest.approx(16.636, abs=5e-4)


def test_the_momentum_rises():
    model = make()
    rates = [model.momentum_at(step, 100) for step in (0, 50, 100)]
    assert rates == pytest.approx([0.99, 0.995, 1.0])
    hub = MessageHub.get_current_instance()
    hub.update_info('iter', 7)
    hub.update_info('max_iters', 9)
    assert model.progress() == (7, 9)
    for name in ('iter', 'max_iters'):
        hub.runtime_info.pop(name)
    assert model.progress() == (0, 1)


def test_the_queues_wrap():
    model = make()
    norms = model.queue1.norm(dim=0)
    torch.testing.assert_close(norms, torch.ones_like(norms))
    for step in range(5):
        keys = torch.full((2, 4), float(step)).double()
        model.enqueue(keys, -keys)
    assert model.queue1[0].tolist() == [4, 4, 1, 1, 2, 2, 3, 3]
    assert model.queue2[3].tolist() == [-4, -4, -1, -1, -2, -2, -3, -3]
    assert model.queue_ptr.tolist() == [2]
    with pytest.raises(
        ValueError, match='queue_size=8 is no multiple of the batch of 3'
    ):
        model.enqueue(torch.zeros(3, 4), torch.zeros(3, 4))


def test_only_the_online_encoder_drops_paths():
    model = make()
    rates = [
        [
            block.drop_path.rate
            for stage in encoder.layers
            for block in stage.blocks
        ]
        for encoder in (model.encoder, model.encoder_k)
    ]
    assert rates == [[0.0, 0.25, 0.5], [0.0] * 3]
    image = views()[0]
    assert model.key(image).equal(model.key(image))


def test_the_momentum_networks_start_as_copies():
    model = MoBY(**SMALL)
    model.init_weights()
    state = model.state_dict()
    for name in ('encoder.norm.weight', 'projector.linear_out.weight'):
        part, _, rest = name.partition('.')
        assert state[name].equal(state[f'{part}_k.{rest}'])
    name = 'layers.0.blocks.0.attn.qkv.weight'
    assert state[f'encoder.{name}'].equal(state[f'encoder_k.{name}'])
    # Trunc-normal 0.02, as all Swin.
    assert state[f'encoder.{name}'].std() < 0.03


def test_the_loss_is_finite_in_half_precision():
    model = make(encoder=dict(ENCODER, drop_path_rate=0.0)).float()
    both = [view.float() for view in views()]
    with torch.autocast('cpu', torch.bfloat16):
        loss = model(both, mode='loss')['loss']
    assert loss.dtype == torch.float32 and loss.isfinite()


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(momentum=1.5), 'momentum=1.5 must be from 0 to 1'),
        (dict(temperature=0), 'temperature=0 must be above 0'),
        (dict(queue_size=0), 'queue_size=0 must be 1 or more'),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        MoBY(**{**SMALL, **settings})


def test_two_views_are_needed():
    model = make()
    with pytest.raises(ValueError, match='two views of each image, got 1'):
        model(views()[:1], mode='loss')
    with pytest.raises(ValueError, match="modes 'tensor' and 'loss', got"):
        model(views(), mode='predict')


# ---------------------------------------------------------------- views


def photo():
    coarse = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    return cv2.resize(coarse, (24, 24), interpolation=cv2.INTER_CUBIC)


def test_colours():
    np.random.seed(0)
    image = photo()
    grey = Grey(1.0)(dict(img=image))['img']
    red, green, blue = (image[..., i].astype(float) for i in (2, 1, 0))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    assert np.abs(grey - luma[..., None]).max() <= 1
    solarised = Solarise(1.0)(dict(img=image))['img']
    np.testing.assert_array_equal(
        solarised, np.where(image < 128, image, 255 - image)
    )
    blurred = Blur(1.0)(dict(img=image))['img']
    assert (
        np.diff(blurred.astype(int), axis=0).std()
        < np.diff(image.astype(int), axis=0).std()
    )
    for transform in (Grey, Solarise, Blur, ColourJitter):
        assert transform(prob=0.0)(dict(img=image))['img'] is image
        with pytest.raises(ValueError, match=f'{transform.__name__}: prob=2'):
            transform(prob=2)


@pytest.mark.parametrize(
    'settings, measure, limits',
    [
        (dict(brightness=0.4), lambda x: x.mean(), (0.6, 1.4)),
        (dict(contrast=0.4), lambda x: x.std(), (0.6, 1.4)),
        (dict(saturation=0.2), lambda x: np.ptp(x, -1).mean(), (0.8, 1.2)),
    ],
)
def test_jitter_stays_within_its_range(settings, measure, limits):
    np.random.seed(0)
    none = dict(brightness=0, contrast=0, saturation=0, hue=0, prob=1.0)
    image = (64 + photo().astype(int) // 4).astype(np.uint8)
    jitter = ColourJitter(**{**none, **settings})
    ratios = [
        measure(jitter(dict(img=image))['img'].astype(float))
        / measure(image.astype(float))
        for _ in range(60)
    ]
    assert limits[0] - 0.02 < min(ratios) < limits[0] + 0.1
    assert limits[1] - 0.1 < max(ratios) < limits[1] + 0.02


def test_the_hue_turns():
    np.random.seed(0)
    image = np.full((2, 2, 3), (40, 80, 200), np.uint8)
    jitter = ColourJitter(0, 0, 0, hue=0.1, prob=1.0)
    hues = [
        cv2.cvtColor(jitter(dict(img=image))['img'], cv2.COLOR_BGR2HSV)[
            0, 0, 0
        ]
        for _ in range(60)
    ]
    start = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)[0, 0, 0]
    turns = [(int(hue) - int(start) + 90) % 180 - 90 for hue in hues]
    assert -20 <= min(turns) < -12 and 12 < max(turns) <= 20


def test_each_view_has_its_pipeline():
    config = load_config(CONFIGS / 'moby_swin_t_imagenet_300ep.py')
    two_views = TwoViews(config.first_view, config.second_view)
    np.random.seed(0)
    inputs = two_views(dict(img=photo(), img_path='a.png'))['inputs']
    assert [tuple(view.shape) for view in inputs] == [(3, 224, 224)] * 2
    assert not inputs[0].equal(inputs[1])
    names = [
        [step.type for step in pipeline]
        for pipeline in (config.first_view, config.second_view)
    ]
    common = ['RandomResizedCrop', 'HorizontalFlip', 'ColourJitter', 'Grey']
    assert names == [
        [*common, 'Blur', 'PackImages'],
        [*common, 'Blur', 'Solarise', 'PackImages'],
    ]
    assert [p[4].prob for p in (config.first_view, config.second_view)] == [
        1.0,
        0.1,
    ]


# -------------------------------------------------------------- configs


def test_published_sizes_and_settings():
    config = load_config(CONFIGS / 'moby_swin_t_imagenet_300ep.py')
    with torch.device('meta'):
        model = MODELS.build(config.model)

    def count(*parts):
        return sum(
            p.numel()
            for part in parts
            for p in getattr(model, part).parameters()
        )

    assert count('encoder') == 27_519_354
    assert count('projector') == 4_206_848
    assert count('predictor') == 2_109_696
    assert count('encoder', 'projector', 'predictor') == 33_835_898
    assert count('encoder_k', 'projector_k') == 31_726_202
    assert {*model.state_dict()} > {
        'queue1',
        'queue2',
        'queue_ptr',
        'projector.linear_hidden.1.weight',
        'projector.linear_hidden.2.running_mean',
        'predictor.linear_out.bias',
    }
    assert model.queue1.shape == model.queue2.shape == (256, 4096)
    rate = config.optim_wrapper.optimizer.lr
    warm_up, cosine = config.param_scheduler
    assert (rate, warm_up.end, cosine.end) == (1e-3, 5, 300)
    assert rate * warm_up.start_factor == pytest.approx(5e-7)
    assert rate * cosine.eta_min_ratio == pytest.approx(5e-6)
    assert config.train_dataloader.batch_size * 8 == 512


DOWNSTREAM = sorted(CONFIGS.glob('*_moby.py'))


@pytest.mark.parametrize('path', DOWNSTREAM, ids=lambda path: path.stem)
def test_downstream_configs_differ_by_the_checkpoint_alone(path):
    assert len(DOWNSTREAM) == 6
    config = load_config(path)
    base = REPOSITORY / 'configs' / f'{path.stem.removesuffix("_moby")}.py'
    if 'nano' in path.stem:
        simmim = REPOSITORY / 'projects' / 'simmim' / 'configs'
        base = simmim / base.name
    other = load_config(base)
    assert config.model.backbone.init_cfg != other.model.backbone.init_cfg
    assert 'moby_swin_' in config.model.backbone.init_cfg.checkpoint
    if 'nano' in path.stem:
        before = load_config(CONFIGS / 'moby_swin_nano_shapes.py')
        last = f'{before.work_dir}/iter_{before.train_cfg.max_iters}.pth'
        assert config.model.backbone.init_cfg.checkpoint == last
    for loaded in (config, other):
        loaded.model.backbone.pop('init_cfg')
        loaded.pop('recipe')
        loaded.pop('work_dir')
    assert config.to_dict() == other.to_dict()


# ------------------------------------------------------------- training


@pytest.fixture
def config(tmp_path):
    """Return the config of a small model on eight images."""
    photos = tmp_path / 'photos'
    photos.mkdir()
    for number in range(8):
        cv2.imwrite(str(photos / f'{number}.png'), np.roll(photo(), number))
    config = load_config(CONFIGS / 'moby_swin_nano_shapes.py')
    config.model.update(SMALL)
    config.train_dataloader.update(batch_size=4, num_workers=0)
    config.train_dataloader.pop('persistent_workers')
    (two_views,) = config.train_dataloader.dataset.pipeline
    for pipeline in (two_views.first, two_views.second):
        pipeline[0].size = 16
    config.train_dataloader.dataset = dict(
        type='ImageFolderDataset',
        data_root=str(photos),
        pipeline=[two_views],
    )
    config.train_cfg.max_iters = 4
    config.default_hooks.checkpoint.interval = 2
    config.default_hooks.logger.interval = 1
    path = tmp_path / 'config.py'
    config.dump(str(path))
    return path


def test_training_resuming_and_the_use_of_its_weights(config, tmp_path):
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    assert run('train', config, '--work-dir', whole, '--seed', 1) == 0
    stop = ['--cfg-options', 'train_dataloader.batch_size=4']
    assert run('train', config, '--work-dir', parts, '--seed', 1, *stop) == 0
    (parts / 'iter_4.pth').unlink()
    assert (
        run(
            'train',
            config,
            '--work-dir',
            parts,
            '--resume',
            parts / 'iter_2.pth',
        )
        == 0
    )
    assert_same_state(whole / 'iter_4.pth', parts / 'iter_4.pth')
    state = read_checkpoint(whole / 'iter_4.pth')['state_dict']
    assert state['queue_ptr'].tolist() == [0]
    backbone = SwinTransformer(
        **SIZES,
        window_size=2,
        init_cfg=dict(type='Pretrained', checkpoint=str(whole / 'iter_4.pth')),
    )
    backbone.init_weights()
    name = 'layers.1.blocks.0.mlp.fc1.weight'
    loaded = backbone.state_dict()[name]
    assert loaded.equal(state[f'encoder.{name}'])
    assert not loaded.equal(state[f'encoder_k.{name}'])


def test_two_processes(config, tmp_path):
    log = launch(
        'dist_train.sh',
        config,
        2,
        '--work-dir',
        tmp_path / 'run',
        '--cfg-options',
        'train_dataloader.batch_size=2',
    )
    assert 'iteration 4/4' in log
    state = read_checkpoint(tmp_path / 'run' / 'iter_4.pth')['state_dict']
    assert state['queue_ptr'].tolist() == [0]
