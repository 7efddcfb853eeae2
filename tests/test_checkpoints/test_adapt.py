"""Load weights of other windows, of images for clips, of other families."""

import pytest
import torch

from helpers.window_files import TABLE, model, weights
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.load import load_backbone
from swin_dense.checkpoints.position import resize_bias_table

# Two matrix products of float32 in another order.
FLOAT32 = dict(rtol=1e-4, atol=1e-5)


def test_a_buffer_shows_a_window_that_is_not_square():
    file = weights('v1', window_size=(3, 5))
    network = model('v1', window_size=(5, 3))
    report = load_backbone(network, file)
    assert report.notes == ['bias tables 5x9 -> 9x5 in 8 blocks, bicubic']
    name = f'layers.1.blocks.0.attn.{TABLE}'
    assert torch.equal(
        network.state_dict()[name],
        resize_bias_table(file[name], (3, 5), (5, 3)),
    )


def test_a_window_that_is_not_square_must_be_given_without_buffers():
    file = weights('v1', buffers=False, window_size=(3, 5))
    # The rows fit the model's window, so that window is assumed.
    assert load_backbone(model('v1', window_size=(3, 5)), file).notes == []
    network = model('v1', window_size=(7, 7))
    with pytest.raises(CheckpointError) as error:
        load_backbone(network, file)
    assert str(error.value) == (
        'the given state_dict: a bias table of 45 rows may be for a window of '
        '1x23, 2x8, 3x5, 5x3, 8x2, 23x1 (in tokens), and the file does not '
        'say which: give source_window (--from-window on the command line)'
    )
    report = load_backbone(network, file, source_window=(3, 5))
    assert report.notes == ['bias tables 5x9 -> 13x13 in 8 blocks, bicubic']
    with pytest.raises(CheckpointError, match='windows of .5, 5. has 81 rows'):
        load_backbone(network, file, source_window=(5, 5))


def test_geometric_is_an_argument():
    file = weights('v1', window_size=5)
    network = model('v1', window_size=8)
    report = load_backbone(network, file, method='geometric')
    assert report.notes == ['bias tables 9x9 -> 15x15 in 8 blocks, geometric']
    name = f'layers.3.blocks.1.attn.{TABLE}'
    assert torch.equal(
        network.state_dict()[name],
        resize_bias_table(file[name], 5, 8, 'geometric'),
    )
    with pytest.raises(CheckpointError, match="bicubic, geometric, got 'x'"):
        load_backbone(network, file, method='x')


def test_a_config_can_say_how():
    file = weights('v1', buffers=False, window_size=(3, 5))
    init_cfg = dict(
        type='Pretrained', method='geometric', source_window=[3, 5]
    )
    output = model('v1', init_cfg=dict(init_cfg, checkpoint=file))
    output.init_weights()
    reference = model('v1')
    load_backbone(reference, file, method='geometric', source_window=(3, 5))
    for name, value in output.state_dict().items():
        assert torch.equal(value, reference.state_dict()[name]), name


def test_clips_of_another_window():
    file = weights('video', window_size=(2, 3, 3))
    network = model('video', window_size=(4, 5, 4), out_indices=(3,))
    report = load_backbone(network, file)
    assert report.notes == ['bias tables 3x5x5 -> 7x9x7 in 8 blocks, bicubic']


def test_an_inflated_still_clip_equals_the_image():
    file = weights('v1', window_size=3, out_indices=(3,))
    images = model('v1', window_size=3, out_indices=(3,))
    clips = model(
        'video', window_size=(4, 3, 3), patch_size=(2, 4, 4), patch_norm=True
    )
    load_backbone(images, file)
    report = load_backbone(clips, file)
    assert report.notes == [
        'inflated from images: bias tables repeated for 7 offsets in time, '
        'patch embedding spread over 2 frames'
    ]
    assert not report.missing + report.unexpected
    image = torch.randn(1, 3, 160, 160)
    with torch.no_grad():
        flat = images.eval()(image)[0]
        clip = clips.eval()(image[:, :, None].expand(-1, -1, 8, -1, -1))
    for frame in clip.unbind(2):
        torch.testing.assert_close(frame, flat, **FLOAT32)


def test_images_into_clips_of_another_window():
    file = weights('v1', window_size=(3, 5))
    network = model('video', window_size=(2, 5, 3), out_indices=(0, 1, 2, 3))
    report = load_backbone(network, file)
    assert report.notes[1:] == [
        'bias tables 3x5x9 -> 3x9x5 in 8 blocks, bicubic'
    ]
    name = f'layers.0.blocks.0.attn.{TABLE}'
    expected = resize_bias_table(file[name], (3, 5), (5, 3)).repeat(3, 1)
    assert torch.equal(network.state_dict()[name], expected)


@pytest.mark.parametrize(
    'reference, current, message',
    [
        (
            'v1',
            'video',
            r'holds Swin V1 for images, the model is Video Swin: to '
            r'repeat .* inflate=True \(in a config: pretrained2d=True\)',
        ),
        (
            'video',
            'v1',
            'holds Video Swin, the model is Swin V1 for images: their '
            'weights cannot be turned',
        ),
        (
            'v1',
            'v2',
            'holds Swin V1 for images, the model is Swin V2: .* Take a '
            'file of Swin V2, or a model of Swin V1',
        ),
        ('v2', 'v1', 'holds Swin V2, the model is Swin V1 for images'),
        ('v2', 'video', 'holds Swin V2, the model is Video Swin'),
        ('video', 'v2', 'holds Video Swin, the model is Swin V2'),
    ],
)
def test_other_families_are_errors(reference, current, message):
    network = model(current)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_backbone(network, weights(reference), inflate=False)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_inflation_is_off_where_the_model_says_so():
    with pytest.raises(CheckpointError, match='inflate=True'):
        load_backbone(model('video', pretrained2d=False), weights('v1'))
    report = load_backbone(
        model('video', out_indices=(0, 1, 2, 3), pretrained2d=False),
        weights('v1'),
        inflate=True,
    )
    assert report.notes[0].startswith('inflated')


def test_v2_takes_the_pretrained_window_of_the_checkpoint():
    file = weights('v2', window_size=4, pretrained_window_sizes=(8, 8, 8, 4))
    network = model('v2', window_size=6)
    report = load_backbone(network, file)
    assert report.resized == []
    assert report.notes == [
        'log-MLP of 8x8 windows evaluated for 6x6 in 6 blocks',
        'log-MLP of 4x4 windows evaluated for 6x6 in 2 blocks',
        'pretrained_window_sizes=((8, 8), (8, 8), (8, 8), (4, 4)) was read '
        'from the file; checkpoints of DenseRunner go on to record it, for '
        'any other runner write it into the config',
    ]
    model_with_window = model(
        'v2', window_size=6, pretrained_window_sizes=(8, 8, 8, 4)
    )
    assert load_backbone(model_with_window, file).notes == []
    image = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        for output, reference in zip(
            network.eval()(image), model_with_window.eval()(image)
        ):
            assert torch.equal(output, reference)


def test_a_pretrained_window_of_the_caller_is_kept():
    file = weights('v2', window_size=8)
    network = model('v2', window_size=8, pretrained_window_sizes=6)
    report = load_backbone(network, file)
    assert report.notes == [
        'log-MLP reads offsets in units of 6x6 windows as the model says, '
        'though the file is of 8x8 in 8 blocks'
    ]
    assert network.layers[0].blocks[0].attn.pretrained_window_size == (6, 6)


def test_v2_without_buffers_is_as_the_config_says():
    network = model('v2', window_size=6)
    assert load_backbone(network, weights('v2', buffers=False)).notes == []
    assert network.layers[0].blocks[0].attn.pretrained_window_size == (0, 0)


def test_failed_loading_changes_no_pretrained_window():
    file = weights('v2', window_size=8)
    del file['layers.3.blocks.0.norm1.weight']
    network = model('v2', window_size=6)
    with pytest.raises(CheckpointError, match='layers.3.blocks.0.norm1'):
        load_backbone(network, file)
    assert network.layers[0].blocks[0].attn.pretrained_window_size == (0, 0)
