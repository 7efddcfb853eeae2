"""mmdet's models that read text, on the installed transformers."""

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from helpers.small_bert import make_bert
from swin_dense.engine.launch import load_config

pytest.importorskip('mmdet', reason='models of mmdet')
pytest.importorskip('transformers', reason='the models read text')

SMALL_SWIN = {
    'model.backbone.type': 'swin_dense.SwinTransformer',
    'model.backbone.embed_dims': 12,
    'model.backbone.depths': [1, 1, 1, 1],
    'model.backbone.num_heads': [1, 2, 2, 4],
    'model.backbone.window_size': 4,
    'model.backbone.init_cfg': None,
}
GLIP = 'glip/glip_atss_swin-t_a_fpn_dyhead_16xb2_ms-2x_funtune_coco'
GROUNDING_DINO = 'grounding_dino/grounding_dino_swin-t_finetune_16xb2_1x_coco'
MM_GROUNDING_DINO = 'mm_grounding_dino/grounding_dino_swin-t_pretrain_obj365'
TEXT = 'person . dog . traffic light'


@pytest.fixture(scope='module')
def bert(tmp_path_factory):
    return make_bert(tmp_path_factory.mktemp('bert'))


def build(name, bert, folder):
    path = folder / 'config.py'
    path.write_text(f'_base_ = "mmdet::{name}.py"\n')
    options = {**SMALL_SWIN, 'model.language_model.name': bert}
    if name == GLIP:
        options['model.bbox_head.lang_model_name'] = bert
        options['model.bbox_head.num_dyhead_blocks'] = 1
        options['model.test_cfg.score_thr'] = 0.0
        options['model.neck.in_channels'] = [24, 48, 96]
    else:
        options['model.neck.in_channels'] = [24, 48, 96]
        options['model.num_queries'] = 20
        options['model.test_cfg.max_per_img'] = 20
        options['model.encoder.num_layers'] = 2
        options['model.encoder.num_cp'] = 2
        options['model.decoder.num_layers'] = 2
    cfg = load_config(path, options)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
        # Some parameters of mmdet are uninitialised memory until then.
        model.init_weights()
    return model


def make_batch(text=TEXT, custom_entities=True):
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    sample = DetDataSample(
        metainfo=dict(
            img_shape=(64, 96),
            ori_shape=(64, 96),
            batch_input_shape=(64, 96),
            scale_factor=(1.0, 1.0),
            text=text,
            custom_entities=custom_entities,
        )
    )
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor(
            [[8.0, 6.0, 60.0, 40.0], [30.0, 20.0, 90.0, 60.0]]
        ),
        labels=torch.tensor([0, 2]),
    )
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(
        256, (3, 64, 96), dtype=torch.uint8, generator=generator
    )
    return dict(inputs=[image], data_samples=[sample])


@pytest.mark.parametrize('name', [GLIP, GROUNDING_DINO, MM_GROUNDING_DINO])
def test_loss_and_prediction(name, bert, tmp_path):
    model = build(name, bert, tmp_path)
    model.train()
    loss, parts = model.parse_losses(
        model(**model.data_preprocessor(make_batch(), True), mode='loss')
    )
    assert torch.isfinite(loss) and loss > 0, parts
    loss.backward()
    assert not [
        name
        for name, value in model.named_parameters()
        if value.requires_grad and value.grad is None
    ]
    with torch.no_grad():
        (by_name,) = model.eval().test_step(make_batch())
        (as_list,) = model.test_step(make_batch(('person', 'dog')))
        # A caption, which mmdet gives to nltk; here its parts are names.
        (caption,) = model.test_step(make_batch(TEXT, custom_entities=False))
    instances = by_name.pred_instances
    assert len(instances) >= 20 and instances.labels.max() <= 2
    names = ('person', 'dog', 'traffic light')
    assert [names[label] for label in instances.labels] == [
        name.strip() for name in instances.label_names
    ]
    assert as_list.pred_instances.labels.max() <= 1
    assert len(caption.pred_instances) == len(instances)


def test_the_fused_layer_equals_that_of_transformers():
    """mmdet's layer is that of transformers, and clamps large values."""
    from mmdet.models.utils.vlfuse_helper import BertEncoderLayer
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertLayer

    config = BertConfig(
        hidden_size=16, num_attention_heads=2, intermediate_size=24
    )
    config._attn_implementation = 'eager'
    served, expected = BertEncoderLayer(config), BertLayer(config)
    expected.load_state_dict(served.state_dict())
    for layer in (served, expected):
        layer.eval()
    hidden = torch.randn(2, 5, 16)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    result = served(dict(visual=None, lang=dict(hidden=hidden, masks=mask)))
    bias = torch.zeros(2, 1, 1, 5).masked_fill(
        mask[:, None, None] == 0, -torch.inf
    )
    output = expected(hidden, attention_mask=bias)
    output = output[0] if isinstance(output, tuple) else output
    torch.testing.assert_close(result['lang']['hidden'], output)


def test_names_do_not_see_each_other(bert):
    """Grounding DINO's masks of pairs keep each name to itself."""
    from mmdet.models.language_models import BertModel

    model = BertModel(
        name=bert,
        pad_to_max=False,
        use_sub_sentence_represent=True,
        special_tokens_list=['[CLS]', '[SEP]', '.', '?'],
    ).eval()
    with torch.no_grad():
        dog, cat = (
            model([f'person . {name} .'])['embedded'][0]
            for name in ('dog', 'cat')
        )
    # [CLS] person . NAME . [SEP]
    torch.testing.assert_close(dog[:3], cat[:3])
    assert (dog[3] - cat[3]).abs().max() > 0.01
    assert (dog[4] - cat[4]).abs().max() > 0.01


def test_an_absent_bert_is_explained(monkeypatch):
    from mmdet.models.language_models import bert

    hub = pytest.importorskip('huggingface_hub')
    monkeypatch.setattr(hub.constants, 'HF_HUB_OFFLINE', True)
    with pytest.raises(OSError) as error:
        bert.BertConfig.from_pretrained('no-such-folder/bert')
    message = str(error.value)
    assert "language model 'no-such-folder/bert' could not be" in message
    assert 'hf download no-such-folder/bert --local-dir bert' in message
    assert '--cfg-options model.language_model.name=bert' in message


def test_captions_without_nltk(monkeypatch):
    from mmdet.models.detectors import glip

    monkeypatch.setitem(__import__('sys').modules, 'nltk', None)
    assert glip.find_noun_phrases('Person . traffic light .') == [
        'person',
        'traffic light',
    ]
    assert glip.find_noun_phrases('dog') == ['dog']
    with pytest.raises(RuntimeError, match='separate them by dots'):
        glip.find_noun_phrases('a dog beside the traffic light')
