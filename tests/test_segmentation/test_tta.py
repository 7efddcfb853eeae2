"""Means over scales and flips equal plain tests and means by hand."""

import weakref

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData

from helpers.ade import write_ade
from helpers.models import randomize
from swin_dense.engine.tta_config import add_tta
from swin_dense.segmentation.tta import SegTTAModel

pytest.importorskip('mmseg', reason='augments the pipelines of mmseg')
from mmseg.structures import SegDataSample  # noqa: E402

CLASSES = 3
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 32), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]


def config(*steps):
    """Return a config with a test pipeline and augmentations only."""
    return Config(
        dict(
            model=dict(decode_head=dict()),
            test_dataloader=dict(dataset=dict(pipeline=list(steps))),
        )
    )


def pipeline(*steps, **options):
    cfg = config(*(steps or PIPELINE))
    add_tta(cfg, **options)
    assert cfg.model == dict(
        type='swin_dense.SegTTAModel', module=dict(decode_head=dict())
    )
    return cfg.test_dataloader.dataset.pipeline


@pytest.fixture
def batch(tmp_path):
    """Load the two validation images with a pipeline, as a batch each."""
    root = write_ade(tmp_path)

    def load(steps):
        init_default_scope('mmseg')
        from mmseg.datasets import ADE20KDataset

        data = ADE20KDataset(
            data_root=str(root),
            data_prefix=dict(
                img_path='images/validation',
                seg_map_path='annotations/validation',
            ),
            pipeline=steps,
            test_mode=True,
        )
        return [pseudo_collate([data[i]]) for i in range(2)]

    return load


@pytest.fixture
def segmentor():
    """Build an mmseg segmentor of a convolution without symmetry."""
    from mmseg.models import EncoderDecoder
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead

    class Head(BaseDecodeHead):
        def forward(self, inputs):
            return self.cls_seg(self._transform_inputs(inputs))

    class Model(EncoderDecoder):
        def _init_decode_head(self, decode_head):
            self.decode_head = Head(**decode_head)
            self.align_corners = False
            self.num_classes = self.decode_head.num_classes
            self.out_channels = self.decode_head.out_channels

    def build(classes=CLASSES, **head):
        init_default_scope('mmseg')
        model = Model(
            backbone=dict(
                type='swin_dense.SwinTransformer',
                embed_dims=8,
                depths=(1,),
                num_heads=(1,),
                window_size=4,
                out_indices=(0,),
            ),
            decode_head=dict(
                in_channels=8, channels=8, num_classes=classes, **head
            ),
            data_preprocessor=dict(
                type='SegDataPreProcessor', mean=[127.0] * 3, std=[60.0] * 3
            ),
            test_cfg=Config(dict(mode='whole')),
        )
        randomize(model)
        for bias in (
            model.backbone.norm0.bias,
            model.decode_head.conv_seg.bias,
        ):
            torch.nn.init.zeros_(bias)  # otherwise one class wins everywhere
        return model.eval()

    return build


@torch.no_grad()
def test_one_scale_unflipped_is_plain_testing(batch, segmentor):
    model = segmentor()
    steps = pipeline(ratios=[1.0], flip=False)
    for plain, augmented in zip(batch(PIPELINE), batch(steps)):
        (expected,) = model.test_step(plain)
        (merged,) = SegTTAModel(module=model).test_step(augmented)
        assert torch.equal(
            merged.pred_sem_seg.data, expected.pred_sem_seg.data
        )
        assert len(merged.pred_sem_seg.data.unique()) > 1
        torch.testing.assert_close(
            merged.seg_logits.data.softmax(0),
            expected.seg_logits.data.softmax(0),
        )
        assert torch.equal(merged.gt_sem_seg.data, expected.gt_sem_seg.data)
        assert merged.img_path == expected.img_path


@torch.no_grad()
def test_mean_by_hand(batch, segmentor):
    """Compare with a test per scale of the image, flipped by OpenCV."""
    model = segmentor()
    (merged,) = SegTTAModel(module=model).test_step(
        batch(pipeline(ratios=[0.5, 1.5]))[0]
    )
    sums = 0
    for scale in ((64, 16), (192, 48)):
        steps = [PIPELINE[0], dict(PIPELINE[1], scale=scale), *PIPELINE[2:]]
        data = batch(steps)[0]
        sums = sums + model.test_step(data)[0].seg_logits.data.softmax(0)
        image = data['inputs'][0].permute(1, 2, 0).numpy()
        mirrored = torch.from_numpy(cv2.flip(image, 1)).permute(2, 0, 1)
        (sample,) = model.test_step(
            dict(inputs=[mirrored], data_samples=data['data_samples'])
        )
        sums = sums + sample.seg_logits.data.softmax(0).flip(-1)
    assert sums.shape == (CLASSES, 40, 56)
    torch.testing.assert_close(merged.seg_logits.data.exp(), sums / 4)
    assert torch.equal(merged.pred_sem_seg.data, sums.argmax(0, keepdim=True))


@torch.no_grad()
def test_batches(batch, segmentor):
    """Images of different sizes in a batch do not affect each other."""
    model = SegTTAModel(module=segmentor())
    alone = batch(pipeline())
    together = {
        key: [a + b for a, b in zip(alone[0][key], alone[1][key])]
        for key in alone[0]
    }
    for data, merged in zip(alone, model.test_step(together)):
        (expected,) = model.test_step(data)
        assert torch.equal(merged.seg_logits.data, expected.seg_logits.data)


@torch.no_grad()
def test_single_channel(batch, segmentor):
    """mmseg applies a sigmoid and a threshold to a single channel."""
    model = segmentor(2, out_channels=1, threshold=0.4)
    steps = pipeline(ratios=[1.0], flip=False)
    (expected,) = model.test_step(batch(PIPELINE)[0])
    (merged,) = SegTTAModel(module=model).test_step(batch(steps)[0])
    assert torch.equal(merged.seg_logits.data, expected.seg_logits.data)
    assert torch.equal(merged.pred_sem_seg.data, expected.pred_sem_seg.data)


def test_memory_does_not_grow_with_augmentations():
    """Logits of an augmentation are freed before the next is predicted."""
    alive = []

    class Model(torch.nn.Module):
        def test_step(self, data):
            assert sum(logits() is not None for logits in alive) == 0
            logits = torch.randn(CLASSES, 4, 4)
            alive.append(weakref.ref(logits))
            return [SegDataSample(seg_logits=PixelData(data=logits))]

    data = dict(inputs=[[index] for index in range(12)])
    SegTTAModel(module=Model()).test_step(data)
    assert len(alive) == 12
