"""Other implementations of Swin V2, with the weights of our model."""

import re

import pytest

from helpers.placeholders import partly

HUGGING_FACE = [
    ('patch_embed.proj', 'embeddings.patch_embeddings.projection'),
    ('patch_embed.norm', 'embeddings.norm'),
    ('layers.', 'encoder.layers.'),
    ('attn.proj', 'attention.output.dense'),
    ('attn.logit_scale', 'attention.self.logit_scale'),
    ('attn.cpb_mlp', 'attention.self.continuous_position_bias_mlp'),
    ('attn.q_bias', 'attention.self.query.bias'),
    ('attn.v_bias', 'attention.self.value.bias'),
    ('norm1', 'layernorm_before'),
    ('norm2', 'layernorm_after'),
    ('mlp.fc1', 'intermediate.dense'),
    ('mlp.fc2', 'output.dense'),
]
CLASS_MODULE = 'mmpretrain.models.backbones.swin_transformer_v2'
MMPRETRAIN = [
    ('patch_embed.proj', 'patch_embed.projection'),
    ('layers.', 'stages.'),
    ('attn.', 'attn.w_msa.'),
    ('mlp.fc1', 'ffn.layers.0.0'),
    ('mlp.fc2', 'ffn.layers.1'),
]


def _rename(name, table):
    for native_name, peer_name in table:
        name = name.replace(native_name, peer_name)
    return name


def _load(reference, state):
    missing, unexpected = reference.load_state_dict(state, strict=False)
    assert not unexpected
    assert all('relative_' in name for name in missing), missing
    reference.eval()
    return reference


def hugging_face(model, image_size):
    """Return Hugging Face's backbone, with our output norms added.

    Args:
        ours: Backbone with all outputs and one window for all stages.
        image_size: Height and width that it will be used for.
    """
    transformers = pytest.importorskip(
        'transformers', reason='Hugging Face transformers are not installed'
    )
    attentions = [stage.blocks[0].attn for stage in model.layers]
    config = transformers.Swinv2Config(
        image_size=list(image_size),
        embed_dim=model.num_features[0],
        depths=[len(stage.blocks) for stage in model.layers],
        num_heads=[attention.num_heads for attention in attentions],
        window_size=attentions[0].window_size[0],
        pretrained_window_sizes=[
            attention.pretrained_window_size[0] for attention in attentions
        ],
        out_indices=[1, 2, 3, 4],
    )
    state = {}
    for name, value in model.state_dict().items():
        if re.match(r'norm\d', name):
            continue
        name = _rename(name, HUGGING_FACE)
        if name.endswith('attn.qkv.weight'):
            for part, rows in zip(('query', 'key', 'value'), value.chunk(3)):
                state[name.replace('attn.qkv', f'attention.self.{part}')] = (
                    rows
                )
        else:
            state[name] = value
    reference = transformers.Swinv2Backbone(config).to(value.dtype)
    _load(reference, state)

    def forward(x):
        return [
            getattr(model, f'norm{i}')(out.movedim(1, -1)).movedim(-1, 1)
            for i, out in enumerate(reference(x).feature_maps)
        ]

    return forward


def mmpretrain(model, **kwargs):
    """Build the backbone of mmpretrain with these arguments."""
    reference = partly(CLASS_MODULE).SwinTransformerV2(**kwargs)
    state = {}
    for name, value in model.state_dict().items():
        if '.downsample.' in name:  # theirs are at the start of a stage
            _, stage, rest = name.split('.', 2)
            name = f'layers.{int(stage) + 1}.{rest}'
            if value.ndim == 2:
                # Neighbours inside channels, row by row, instead of outside,
                # column by column.
                value = value.unflatten(1, (2, 2, -1)).permute(0, 3, 2, 1)
                value = value.flatten(1)
        state[_rename(name, MMPRETRAIN)] = value
    return _load(reference.to(value.dtype), state)
