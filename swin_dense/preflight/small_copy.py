"""Shrink the settings of a model to one that learns in seconds on a CPU."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from mmengine.config import ConfigDict

WIDTH = 64  # channels of necks and heads
HIDDEN = 128  # channels of fully connected layers
PROPOSALS = 100
NARROWED = {
    'in_channels',
    'out_channels',
    'feat_channels',
    'conv_out_channels',
    'point_feat_channels',
    'channels',
    'inter_channels',
}
HEADS_ON_BACKBONES = ('decode_head', 'auxiliary_head', 'cls_head')
# Backbones that copies have; others become the first, or that for clips.
OURS = (
    'swin_dense.SwinTransformer',
    'swin_dense.SwinTransformerV2',
    'swin_dense.SwinTransformer3D',
    'swin_dense.SwinTransformerV2_3D',
)
# Backbone of each rank: images and clips.
DEPTHS, HEADS, WIDTHS = (2, 2, 2, 2), (1, 2, 4, 8), (32, 64, 128, 256)
# A backbone of at most these blocks and channels stays as it is.
SMALL_DEPTH, SMALL_WIDTH = 8, 48


def small_models(model: Any, factor: float) -> Iterator[tuple[str, Any]]:
    """Yield settings of ever larger copies of a model, with their names.

    Args:
        model: Settings of the whole model.
        factor: Size of the small images over that of the training's images,
            by which anchors shrink.

    Yields:
        What was made small, and the settings. The first that can be built and
        run is to be used.
    """
    yield (
        'backbone, neck and heads narrowed',
        _prepared(narrow(model), factor),
    )
    yield 'backbone narrowed', _prepared(narrow(model, heads=False), factor)
    yield 'whole model', _prepared(ConfigDict(model), factor)


def narrow(model: Any, heads: bool = True) -> Any:
    """Return a model with a narrow backbone, and narrow neck and heads.

    Args:
        model: Settings of the model.
        heads: If False, neck and heads keep their channels.
    """
    copy = ConfigDict(deepcopy(dict(model)))
    for key, part in copy.items():
        if key != 'backbone' and heads:
            copy[key] = _narrow_part(part)
    # What the backbone returns is as wide as it was, unless it is narrowed.
    for part, original in zip(_readers(copy), _readers(model)):
        part['in_channels'] = original['in_channels']
    if not _is_small(copy.backbone):
        widths = _narrow_backbone(copy)
        for part in _readers(copy):
            part['in_channels'] = _read_channels(part, widths)
    return copy


def _readers(model: Any) -> list[Any]:
    """Return the parts that read the maps of the backbone."""
    keys = ('neck',) if model.get('neck') else HEADS_ON_BACKBONES
    parts: list[Any] = []
    for key in keys:
        part = model.get(key) or []
        parts += part if isinstance(part, (list, tuple)) else [part]
    return parts[:1] if keys == ('neck',) else parts


def _read_channels(part: Any, widths: Sequence[int]) -> Any:
    """Return the channels that a part reads from a narrow backbone."""
    if not isinstance(part['in_channels'], (list, tuple)):
        return widths[part.get('in_index', -1)]
    places = part.get('in_index')
    if places is None:
        return [*widths[-len(part['in_channels']) :]]
    return [widths[place] for place in places]


def _is_small(backbone: Mapping[str, Any]) -> bool:
    sizes = backbone.get('arch')
    sizes = {**backbone, **(sizes if isinstance(sizes, Mapping) else {})}
    depths, width = sizes.get('depths'), sizes.get('embed_dims')
    return (
        depths is not None
        and width is not None
        and sum(depths) <= SMALL_DEPTH
        and width <= SMALL_WIDTH
    )


def _narrow_backbone(model: Any) -> list[int]:
    """Give a model a narrow backbone; return the channels of its outputs."""
    old = model.backbone
    if 'backbones' in old:  # two in one: the lead stands for both
        old = old.backbones[-1]
    is_video = str(old.get('type', '')).endswith('3D')
    outputs = old.get('out_indices')
    if outputs is None:
        outputs = (3,) if is_video else (0, 1, 2, 3)
    count = max(outputs) + 1
    arch = dict(
        embed_dims=WIDTHS[0], depths=DEPTHS[:count], num_heads=HEADS[:count]
    )
    kept = {
        key: old[key]
        for key in ('type', 'patch_size', 'in_channels', 'out_indices')
        if key in old
    }
    window = (4, 4, 4) if is_video else 4
    if kept['type'] not in OURS:
        kept['type'] = OURS[2 if is_video else 0]
    model.backbone = ConfigDict(
        kept,
        arch=arch,
        window_size=window,
        drop_path_rate=0.0,
        init_cfg=dict(type='Xavier', layer='Linear', distribution='normal'),
    )
    return [WIDTHS[index] for index in outputs]


def _narrow_part(part: Any) -> Any:
    """Return settings with fewer channels, at any depth."""
    if isinstance(part, Mapping):
        return ConfigDict(
            {key: _narrow_value(key, value) for key, value in part.items()}
        )
    if isinstance(part, (list, tuple)):
        return type(part)(_narrow_part(entry) for entry in part)
    return part


def _narrow_value(key: str, value: Any) -> Any:
    if key in NARROWED and type(value) is int:
        return min(value, WIDTH)
    if key in NARROWED and isinstance(value, (list, tuple)):
        return [min(entry, WIDTH) for entry in value]
    if key == 'fc_out_channels':
        return min(value, HIDDEN)
    return _narrow_part(value)


def _prepared(model: Any, factor: float) -> Any:
    """Return a model for one process and small images, without dropout."""
    copy = _adapt(ConfigDict(model), factor)
    for part in (copy.get('roi_head') or {}).values():
        for entry in part if isinstance(part, list) else [part]:
            if getattr(entry, 'type', None) == 'SingleRoIExtractor':
                entry['finest_scale'] = max(
                    1, round(entry.get('finest_scale', 56) * factor)
                )
    for name in ('with_cp', 'pretrained'):
        copy.backbone.pop(name, None)
    if copy.backbone.get('init_cfg') and (
        'checkpoint' in copy.backbone.init_cfg
    ):
        copy.backbone.init_cfg = None
    copy.pop('init_cfg', None)
    return copy


def _adapt(part: Any, factor: float, key: str = '') -> Any:
    if isinstance(part, Mapping):
        return ConfigDict(
            {name: _adapt(value, factor, name) for name, value in part.items()}
        )
    if isinstance(part, (list, tuple)) and key != 'scales':
        return type(part)(_adapt(entry, factor) for entry in part)
    if key == 'type' and part == 'SyncBN':
        return 'BN'
    if key in ('dropout_ratio', 'drop_path_rate'):
        return 0.0
    if key in ('octave_base_scale', 'point_base_scale'):
        return max(1, round(part * factor))
    if key == 'scales' and isinstance(part, (list, tuple)):
        return [max(1.0, scale * factor) for scale in part]
    if key in ('nms_pre', 'max_per_img') and type(part) is int:
        return min(part, 3 * PROPOSALS if key == 'nms_pre' else PROPOSALS)
    if key == 'num' and type(part) is int:  # of a sampler
        return min(part, WIDTH)
    return part
