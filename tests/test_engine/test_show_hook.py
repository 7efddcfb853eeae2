"""Pictures of a test show the truth beside the prediction."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from swin_dense.detection.show_pair import draw_pair as draw_instances
from swin_dense.engine.show_hook import ShowHook
from swin_dense.engine.tasks import DETECTION, SEGMENTATION, VIDEO
from swin_dense.segmentation.show_pair import draw_pair as draw_labels

META = dict(classes=['wall', 'door'], palette=[(200, 0, 0), (0, 0, 200)])


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), np.full((40, 40, 3), 100, np.uint8))
    return path


def test_label_maps_side_by_side(image):
    def layer(label):
        return PixelData(data=torch.full((1, 40, 40), label))

    sample = BaseDataElement(
        img_path=str(image), gt_sem_seg=layer(0), pred_sem_seg=layer(1)
    )
    picture = draw_labels(sample, META)
    left, right = picture[300, 300], picture[300, 1000]
    assert left.tolist() == [50, 50, 150] and right.tolist() == [150, 50, 50]
    del sample.gt_sem_seg
    with pytest.raises(ValueError, match='add LoadAnnotations'):
        draw_labels(sample, META)


def test_instances_side_by_side(image):
    def found(label, **scores):
        return InstanceData(
            bboxes=torch.tensor([[8.0, 8, 32, 32]]),
            labels=torch.tensor([label]),
            **scores,
        )

    sample = BaseDataElement(
        img_path=str(image),
        gt_instances=found(0),
        pred_instances=found(1, scores=torch.tensor([0.9])),
    )
    picture = draw_instances(sample, META).astype(int)
    red = (picture == (0, 0, 200)).all(2).any(0)
    blue = (picture == (200, 0, 0)).all(2).any(0)
    middle = picture.shape[1] // 2
    assert red[:middle].any() and not red[middle:].any()
    assert blue[middle:].any() and not blue[:middle].any()
    del sample.gt_instances
    with pytest.raises(ValueError, match='add LoadAnnotations'):
        draw_instances(sample, META)


def test_names_of_pictures(tmp_path):
    hook = ShowHook(
        tmp_path / 'shown', lambda sample, meta: np.zeros((4, 4, 3), np.uint8)
    )
    dataset = SimpleNamespace(metainfo=META)
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))
    samples = [
        BaseDataElement(img_path=path, img_id=number)
        for number, path in enumerate(('a/1.jpg', 'b/1.jpg', 'b/2.tif'))
    ]
    hook.after_test_iter(runner, 0, outputs=samples[:2])
    hook.after_test_iter(runner, 1, outputs=samples[2:])
    names = sorted(path.name for path in (tmp_path / 'shown').iterdir())
    assert names == ['1.jpg', '1_1.jpg', '2.tif.png']


def test_tasks_that_draw_pairs():
    assert DETECTION.load('draw_pair') is draw_instances
    assert SEGMENTATION.load('draw_pair') is draw_labels
    assert not VIDEO.draw_pair
