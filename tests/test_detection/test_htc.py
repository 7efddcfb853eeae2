"""HTC++ without its extras equals mmdet's HTC with the same weights."""

from copy import deepcopy
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData, PixelData

from helpers.htc import narrow
from helpers.models import EVEN, randomize
from helpers.reference import assert_close
from swin_dense.checkpoints.load import load_model

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
STOCK = (
    Path(mmdet.__file__).parent
    / '.mim'
    / 'configs'
    / 'htc'
    / 'htc_r50_fpn_1x_coco.py'
)
TOLERANCE = 1e-8  # in float64
SIZE = (96, 128)
CHANNELS, CLASSES, STUFF = 16, 3, 7


def build(model):
    init_default_scope('mmdet')
    model = narrow(model, CHANNELS, CLASSES, STUFF)
    model.neck.in_channels = [16, 32, 64, 128]
    model = randomize(revert_sync_batchnorm(MODELS.build(model)))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    for weight in model.roi_head.parameters():
        if weight.ndim > 1:  # otherwise four convolutions leave no differences
            torch.nn.init.kaiming_normal_(weight)
    return model.double()


def settings(name='htcpp_swin', **roi_head):
    """Return the model of our base config with a changed RoI head."""
    model = Config.fromfile(CONFIGS / '_base_' / 'models' / f'{name}.py').model
    model.roi_head.update(roi_head)
    model.backbone = dict(
        type='swin_dense.SwinTransformer',
        drop_path_rate=0.0,
        window_size=7,
        **EVEN,
    )
    return model


def of_mmdet(model):
    """Return the same detector from mmdet's classes, without attention."""
    model = deepcopy(model)
    model.backbone.type = 'mmdet.SwinTransformer'
    model.neck.type = 'mmdet.FPN'
    model.neck.pop('global_attention')
    model.roi_head.type = 'mmdet.HybridTaskCascadeRoIHead'
    return model


def stock_pair():
    """Return our base without its extras, and mmdet's HTC config."""
    stock = Config.fromfile(STOCK).model
    model = settings(bbox_head=stock.roi_head.bbox_head)
    model.test_cfg.rcnn.nms = dict(type='nms', iou_threshold=0.5)
    for ours_stage, stage in zip(model.train_cfg.rcnn, stock.train_cfg.rcnn):
        stage.assigner.match_low_quality = False
        assert ours_stage == stage
    stock.backbone = dict(model.backbone, type='mmdet.SwinTransformer')
    return model, stock


def recipe_pair(**roi_head):
    """Return our base with this package's classes, and with mmdet's."""
    model = settings(**roi_head)
    return model, of_mmdet(model)


PAIRS = {
    'stock': stock_pair,
    'recipe': recipe_pair,
    'no semantic branch': lambda: recipe_pair(semantic_head=None),
    'no flow, not interleaved': lambda: recipe_pair(
        mask_info_flow=False, interleaved=False
    ),
}


@pytest.fixture(scope='module', params=PAIRS)
def pair(request):
    """Return our detector with mmdet's weights, and mmdet's detector."""
    torch.manual_seed(1)
    model, stock = PAIRS[request.param]()
    model.neck.global_attention = None
    model, stock = build(model), build(stock)
    report = load_model(model, stock.state_dict())
    assert not report.missing and not report.unexpected
    return model, stock


def samples(batch=2, stuff=True, empty=False):
    boxes = torch.tensor([[4.0, 6.0, 50.0, 60.0], [40.0, 10.0, 100.0, 90.0]])
    # Discs, because rectangles as large as the boxes would give ties.
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    masks = np.stack(
        [
            (x - 27.3) ** 2 + (y - 33.1) ** 2 < 20**2,
            (x - 70.7) ** 2 + (y - 50.9) ** 2 < 30**2,
        ]
    ).astype('uint8')
    labels = torch.tensor([0, CLASSES - 1])
    if empty:
        boxes, masks, labels = boxes[:0], masks[:0], labels[:0]
    made = []
    for _ in range(batch):
        sample = DetDataSample(
            metainfo=dict(
                img_path='street.jpg',
                img_shape=SIZE,
                ori_shape=SIZE,
                pad_shape=SIZE,
                batch_input_shape=SIZE,
                scale_factor=(1.0, 1.0),
            ),
            gt_instances=InstanceData(
                bboxes=boxes.double(),
                labels=labels,
                masks=BitmapMasks(masks, *SIZE),
            ),
        )
        if stuff:
            sample.gt_sem_seg = PixelData(
                sem_seg=torch.randint(STUFF, (1, *SIZE))
            )
        made.append(sample)
    return made


def losses(model, image, truth):
    model.train()
    torch.manual_seed(3)
    np.random.seed(3)
    return model.parse_losses(model.loss(image, deepcopy(truth)))


def test_losses_and_gradients(pair):
    image = torch.randn(2, 3, *SIZE).double()
    truth = samples()
    states = []
    for model in pair:
        before = deepcopy(model.state_dict())
        model.zero_grad()
        total, values = losses(model, image, truth)
        total.backward()
        model.load_state_dict(before)  # running statistics of BN
        states.append((values, model))
    (output, our_model), (stock, stock_model) = states
    assert list(output) == list(stock) and len(output) > 10
    for name in stock:
        torch.testing.assert_close(
            output[name], stock[name], rtol=0, atol=TOLERANCE
        )
    assert ('loss_semantic_seg' in output) == our_model.with_semantic
    actual = our_model.backbone.patch_embed.proj.weight.grad
    expected = stock_model.backbone.patch_embed.projection.weight.grad
    assert_close(
        actual / expected.abs().max(),
        expected / expected.abs().max(),
        TOLERANCE,
    )
    for name, parameter in our_model.roi_head.named_parameters():
        expected = stock_model.roi_head.get_parameter(name).grad
        if expected is None:
            assert parameter.grad is None, name
        else:
            scale = expected.abs().max().clamp(min=1)
            assert_close(parameter.grad / scale, expected / scale, TOLERANCE)


def predict(model, image):
    # mmdet pastes masks in float32.
    model = deepcopy(model).float().eval()
    with torch.no_grad():
        return [
            s.pred_instances for s in model.predict(image, samples(len(image)))
        ]


def test_predictions(pair):
    model, stock = pair
    image = torch.randn(2, 3, *SIZE)
    if not stock.roi_head.mask_info_flow:
        with pytest.raises(AttributeError, match='split'):  # a bug in mmdet
            predict(stock, image)
        return
    for actual, expected in zip(predict(model, image), predict(stock, image)):
        assert len(expected) > 5 and expected.scores.std() > 1e-4
        assert_close(actual.bboxes, expected.bboxes, 1e-2)
        # Rounding adds up over the three stages.
        assert_close(actual.scores, expected.scores, 5e-5)
        assert torch.equal(actual.labels, expected.labels)
        assert expected.masks.any()
        assert (actual.masks != expected.masks).float().mean() < 1e-3


def test_without_the_flow_the_last_mask_head_predicts():
    model = build(settings(mask_info_flow=False)).float().eval()
    x = [torch.randn(1, CHANNELS, 32 >> i, 32 >> i) for i in range(5)]
    rois = torch.tensor([[0.0, 4, 6, 50, 60], [0, 40, 10, 100, 90]])
    head = model.roi_head
    with torch.no_grad():
        semantic = head.semantic_head(x)[1]
        actual = head._mask_forward(-1, x, rois, semantic, training=False)
        expected = head._mask_forward(2, x, rois, semantic)
    assert torch.equal(actual['mask_preds'][0], expected['mask_preds'])
    assert len(predict(model, torch.randn(1, 3, *SIZE))[0]) > 5


def test_a_missing_label_map_is_named():
    model = build(settings()).float()
    with pytest.raises(
        ValueError,
        match='street.jpg has no label map.*with_seg=True.*semantic_head=None',
    ):
        model.loss(torch.randn(1, 3, *SIZE), samples(1, stuff=False))


@pytest.mark.parametrize('batch', [1, 2])
def test_images_without_objects_train(batch):
    model = build(settings()).float()
    total, values = losses(
        model, torch.randn(batch, 3, *SIZE), samples(batch, empty=True)
    )
    total.backward()
    assert all(torch.isfinite(value) for value in values.values())
    assert values['loss_semantic_seg'] > 0
    assert all(p.grad is not None for p in model.parameters())
