"""Batches of images without labels."""

import torch

from swin_dense.pretraining.preprocessor import ImagePreprocessor


def test_images_are_normalised_and_restored():
    preprocessor = ImagePreprocessor(mean=(1, 2, 3), std=(1, 2, 4))
    pixels = torch.tensor([3, 6, 10], dtype=torch.uint8)  # blue, green, red
    images = pixels[:, None, None].expand(2, 3, 4, 5)
    mask = torch.ones(2, 1, 1, dtype=torch.int64)
    batch = preprocessor(dict(inputs=images, mask=mask), training=True)
    assert batch['inputs'].shape == (2, 3, 4, 5)
    assert batch['inputs'][0, :, 0, 0].tolist() == [9, 2, 0]
    assert batch['mask'].equal(mask)
    assert preprocessor.restore(batch['inputs']).equal(images)


def test_each_view_is_normalised():
    preprocessor = ImagePreprocessor((0, 0, 0), (1, 1, 2), bgr_to_rgb=False)
    views = [torch.full((1, 3, 2, 2), value) for value in (4, 6)]
    first, second = preprocessor(dict(inputs=views))['inputs']
    assert first[0, :, 0, 0].tolist() == [4, 4, 2]
    assert second[0, :, 0, 0].tolist() == [6, 6, 3]
    assert preprocessor.restore(first)[0, :, 0, 0].tolist() == [4, 4, 4]
