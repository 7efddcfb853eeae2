"""A linear classifier on frozen features."""

import cv2
import numpy as np
import pytest
import torch

from helpers.command_line import CONFIG
from swin_dense.backbones import SwinTransformer
from swin_dense.pretraining.linear_probe import (
    main,
    mean_features,
    object_crops,
    probe_accuracy,
)


def draw(count, seed, planted):
    """Return features and labels; class k adds to feature k."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 16, generator=generator).double()
    labels = torch.randint(3, (count,), generator=generator)
    if planted:
        # Another scale and a constant feature have to do no harm.
        features[torch.arange(count), labels] += 20
        features = features * 1e3 + 7
        features[:, 5] = 2
    return features, labels


def test_planted_classes_are_found():
    assert probe_accuracy(draw(200, 0, True), draw(100, 1, True)) == 1.0


def test_random_labels_are_guessed():
    score = probe_accuracy(draw(2000, 0, False), draw(1000, 1, False))
    assert score == pytest.approx(1 / 3, abs=0.06)


class Squares:
    """A data set of one image of 40 x 40 pixels with three objects."""

    def __init__(self, path):
        self.path = str(path)

    def __len__(self):
        return 1

    def get_data_info(self, index):
        boxes = [[10, 10, 26, 26], [30, 30, 40, 40], [0, 0, 40, 40]]
        return dict(
            img_path=self.path,
            instances=[
                dict(bbox=box, bbox_label=label, ignore_flag=int(label == 2))
                for label, box in enumerate(boxes)
            ],
        )


def test_crops_have_the_object_in_their_centre(tmp_path):
    image = np.zeros((40, 40, 3), np.uint8)
    image[10:26, 10:26] = (10, 20, 30)
    image[30:, 30:] = 200
    cv2.imwrite(str(tmp_path / 'image.png'), image)
    crops, labels = object_crops(Squares(tmp_path / 'image.png'), 20)
    assert labels.tolist() == [0, 1]
    # A square of 16 pixels in a crop of 20.
    expected = torch.zeros(3, 20, 20, dtype=torch.uint8)
    expected[:, 2:18, 2:18] = torch.tensor([10, 20, 30])[:, None, None]
    assert crops[0].equal(expected)
    # The border of the image is repeated.
    assert crops[1][:, -1, -1].tolist() == [200] * 3


def test_features_are_means_of_the_last_map():
    torch.manual_seed(0)
    backbone = SwinTransformer(
        embed_dims=8, depths=[1, 1], num_heads=[1, 1], window_size=2,
        out_indices=(0, 1),
    )  # fmt: skip
    crops = torch.randint(256, (70, 3, 16, 16), dtype=torch.uint8)
    features = mean_features(backbone, crops)
    assert features.shape == (70, 16)
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
    std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
    image = (crops[69].flip(0) - mean) / std
    with torch.no_grad():
        last = backbone(image[None])[-1][0]
    torch.testing.assert_close(features[69].float(), last.mean((1, 2)))


def test_the_command(tmp_path, capsys):
    backbone = SwinTransformer(
        embed_dims=8, depths=[2, 1, 1, 1], num_heads=[1, 1, 2, 2],
        window_size=4,
    )  # fmt: skip
    weights = tmp_path / 'weights.pth'
    torch.save(backbone.state_dict(), weights)
    options = ['--cfg-options', f'data_root={tmp_path}/data/']
    arguments = [str(weights), '--config', CONFIG, '--size', '32']
    assert main([*arguments, '--seeds', '0', '1', *options]) == 0
    printed = capsys.readouterr().out
    assert 'objects to learn from' in printed
    assert '| random, 2 seeds | 0.' in printed
    assert f'| {weights} | 0.' in printed
    assert main(['absent.pth', *arguments[1:], *options]) == 1
    assert 'checkpoint absent.pth does not exist' in capsys.readouterr().err
