"""The backbone gets `max_testing_views` clips at any batch size."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from helpers.models import randomize
from helpers.reference import assert_close

pytest.importorskip('mmaction', reason='the model is of mmaction2')


def make(**kwargs):
    init_default_scope('mmaction')
    config = dict(
        backbone=dict(
            type='swin_dense.SwinTransformer3D',
            arch=dict(embed_dims=8, depths=(1, 1), num_heads=(1, 1)),
            window_size=(2, 3, 3),
            out_indices=(1,),
        ),
        cls_head=dict(
            type='I3DHead', in_channels=16, num_classes=3, average_clips='prob'
        ),
        **kwargs,
    )
    return randomize(
        MODELS.build(dict(type='swin_dense.ClipRecognizer', **config))
    ).eval()


@pytest.mark.parametrize('videos', [1, 2])
@pytest.mark.parametrize(
    'views, sizes',
    [(1, [1] * 5), (2, [2, 2, 1]), (4, [4, 1]), (5, [5]), (9, [5])],
)
def test_views_in_turns(videos, views, sizes):
    from mmaction.structures import ActionDataSample

    turns, at_once = make(test_cfg=dict(max_testing_views=views)), make()
    at_once.load_state_dict(turns.state_dict())
    seen = []
    turns.backbone.register_forward_hook(
        lambda module, inputs, output: seen.append(len(inputs[0]))
    )
    clips = torch.randn(videos, 5, 3, 4, 16, 16)
    scores = []
    with torch.no_grad():
        for model in (turns, at_once):
            samples = [ActionDataSample() for _ in range(videos)]
            results = model(clips, samples, mode='predict')
            scores.append(torch.stack([r.pred_score for r in results]))
    assert_close(*scores, 1e-6)
    assert scores[0].shape == (videos, 3)
    assert max(seen) <= views and sum(seen) == 5 * videos
    if videos == 1:
        assert seen == sizes


def test_training_sees_all_clips_at_once():
    from mmaction.structures import ActionDataSample

    model = make(test_cfg=dict(max_testing_views=1)).train()
    seen = []
    model.backbone.register_forward_hook(
        lambda module, inputs, output: seen.append(len(inputs[0]))
    )
    samples = [ActionDataSample().set_gt_label(label) for label in (0, 2)]
    model(torch.randn(2, 1, 3, 4, 16, 16), samples, mode='loss')
    assert seen == [2]


@pytest.mark.parametrize('views', [0, -1, 1.5, 'all'])
def test_bad_number(views):
    model = make(test_cfg=dict(max_testing_views=views))
    with pytest.raises(ValueError, match='must be a positive number, got'):
        model.extract_feat(torch.zeros(1, 2, 3, 2, 8, 8), test_mode=True)
