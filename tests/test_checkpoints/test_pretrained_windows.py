"""Pretrained windows of Swin V2 are recorded and taken over by models."""

import pytest
import torch
from torch import nn

from helpers.window_files import model, weights
from swin_dense.checkpoints.load import load_backbone, load_model
from swin_dense.checkpoints.pretrained_windows import window_record
from swin_dense.checkpoints.resize import resize_checkpoint

SHRUNK = (8, 8), (8, 8), (8, 8), (4, 4)


class Whole(nn.Module):
    """A model around a backbone."""

    def __init__(self, **kwargs):
        super().__init__()
        self.backbone = model('v2', **kwargs)


def checkpoint(network):
    """Return the checkpoint that a runner saves of a model."""
    state_dict = {
        name: torch.randn_like(value) / 4
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(state_dict)
    return dict(
        meta=dict(iter=1, swin_dense=window_record(network)),
        state_dict=state_dict,
    )


def units(network):
    """Return the pretrained window of each stage."""
    return tuple(
        map(tuple, window_record(network).get('pretrained_window_sizes', ()))
    )


def outputs(network, size=(96, 64)):
    image = torch.randn(
        1, 3, *size, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        return network.eval()(image)


def assert_equal(first, second, size=(96, 64)):
    for x, y in zip(outputs(first, size), outputs(second, size)):
        assert torch.equal(x, y)


def test_record():
    assert window_record(model('v1')) == window_record(nn.Linear(2, 2)) == {}
    whole = Whole(
        window_size=[8, 8, (8, 6), 4], pretrained_window_sizes=SHRUNK
    )
    assert window_record(whole) == dict(
        window_sizes=[[8, 8], [8, 8], [8, 6], [4, 4]],
        pretrained_window_sizes=[[8, 8], [8, 8], [8, 8], [4, 4]],
    )


@pytest.mark.parametrize('load', [load_model, load_backbone])
def test_a_model_takes_the_recorded_windows(load):
    trained = Whole(window_size=6, pretrained_window_sizes=SHRUNK)
    file = checkpoint(trained)
    fresh = Whole(window_size=6)
    report = load(fresh if load is load_model else fresh.backbone, file)
    assert report.notes == [
        'log-MLP of 8x8 windows evaluated for 6x6 in 6 blocks',
        'log-MLP of 4x4 windows evaluated for 6x6 in 2 blocks',
        f'pretrained_window_sizes={SHRUNK} was read from the file; '
        'checkpoints of DenseRunner go on to record it, for any other runner '
        'write it into the config',
    ]
    assert report.notes[0] in report.summary()
    assert units(fresh) == SHRUNK
    assert_equal(fresh.backbone, trained.backbone)


def test_without_the_record_the_outputs_would_differ():
    trained = Whole(window_size=6, pretrained_window_sizes=SHRUNK)
    file = checkpoint(trained)
    del file['meta']['swin_dense']
    fresh = Whole(window_size=6)
    assert load_model(fresh, file).notes == []
    first, second = (outputs(x.backbone)[0] for x in (trained, fresh))
    assert (first - second).abs().max() > 1e-3


def test_a_model_keeps_the_windows_of_the_caller():
    file = checkpoint(Whole(window_size=6, pretrained_window_sizes=SHRUNK))
    model_with_window = Whole(window_size=6, pretrained_window_sizes=8)
    assert load_model(model_with_window, file).notes == [
        'log-MLP reads offsets in units of 8x8 windows as the model says, '
        'though the file is of 4x4 in 2 blocks'
    ]
    assert units(model_with_window) == ((8, 8),) * 4


def test_the_last_file_decides():
    network = Whole(window_size=6)
    load_backbone(network.backbone, weights('v2', window_size=7))
    assert units(network) == ((7, 7),) * 4
    file = checkpoint(Whole(window_size=6, pretrained_window_sizes=SHRUNK))
    load_model(network, file)
    assert units(network) == SHRUNK
    load_model(network, checkpoint(Whole(window_size=6)))
    assert units(network) == ((0, 0),) * 4


def test_the_window_in_use_goes_on_to_be_it():
    trained = Whole(window_size=6)
    file = checkpoint(trained)
    fresh = Whole(window_size=6)
    assert load_model(fresh, file).notes == []
    assert units(fresh) == ((0, 0),) * 4
    # The last maps are smaller than the window.
    assert_equal(fresh.backbone, trained.backbone)


@pytest.mark.parametrize('load', [load_model, load_backbone])
def test_another_window_reads_offsets_by_that_of_the_file(load):
    file = checkpoint(Whole(window_size=4))
    network = Whole(window_size=6)
    report = load(network if load is load_model else network.backbone, file)
    assert report.notes[0] == (
        'log-MLP of 4x4 windows evaluated for 6x6 in 8 blocks'
    )
    assert units(network) == ((4, 4),) * 4


def test_buffers_of_a_whole_model_tell_as_well():
    file = {
        f'backbone.{name}': value
        for name, value in weights('v2', window_size=8).items()
    }
    network = Whole(window_size=6)
    load_model(network, file)
    assert units(network) == ((8, 8),) * 4


def test_the_tool_takes_the_recorded_window():
    file = checkpoint(Whole(window_size=4))
    resized = resize_checkpoint(file, [6])
    assert resized.metadata['pretrained_window_sizes'] == [[4, 4]] * 4
    file = checkpoint(Whole(window_size=6, pretrained_window_sizes=SHRUNK))
    resized = resize_checkpoint(file, [12])
    assert resized.metadata['pretrained_window_sizes'] == [
        list(window) for window in SHRUNK
    ]
