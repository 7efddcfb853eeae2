"""Two backbones of which one assists the other (CBNetV2)."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from swin_dense.backbones.base import SwinPyramid
from swin_dense.registry import MODELS


@MODELS.register_module()
class CompositeBackbone(BaseModule):
    """A lead backbone whose stages also see an assistant's pyramid.

    Dense higher-level composition of CBNetV2 (arXiv 2107.00420, section 3.3):
    to the input of stage i of the lead, the assistant's outputs of stages i
    and above are added, after their norms, by 1x1 convolutions where the
    channels differ, and resized to the nearest. The convolutions start at
    zero, so at first only the map of the same level is added. With
    embeddings of the same shape, the lead begins with the tokens of the
    assistant and has no embedding of its own.

    What comes out is the pyramid of the lead. The assistant's own pyramid,
    for the auxiliary branch of training, is put out by `forward_both`;
    `swin_dense.CompositeRCNN` trains on both.

    Names of weights are those of the official code: `cb_modules.0` is the
    assistant, `cb_modules.1` the lead, `cb_linears.{i}.{j}` what stage i
    gets of stage i + j.

    Attributes:
        channels: Channels of each output.
        strides: Input pixels per token of each output.

    Args:
        backbones: Configs of the assistant and of the lead: any two backbones
            of this package with as many stages and axes. The assistant puts
            out all its stages, whatever its `out_indices`; its pyramid has
            those of the lead.
        init_cfg: For each backbone that has none of its own; see there.

    Raises:
        ValueError: If these are not two, or do not fit each other.
    """

    def __init__(
        self, backbones: Sequence[dict], init_cfg: dict | None = None
    ) -> None:
        super().__init__()
        if len(backbones) != 2:
            raise ValueError(
                'backbones must be the configs of an assistant '
                f'and a lead, got {len(backbones)}'
            )
        assistant_cfg, lead_cfg = (
            dict(cfg, init_cfg=cfg.get('init_cfg') or init_cfg)
            for cfg in backbones
        )
        lead = _build(lead_cfg)
        assistant_cfg['out_indices'] = tuple(range(len(lead.layers)))
        assistant = _build(assistant_cfg)
        if len(assistant.layers) != len(lead.layers):
            raise ValueError(
                'assistant and lead need as many stages, got '
                f'{len(assistant.layers)} and {len(lead.layers)}'
            )
        conv = type(lead.patch_embed.proj)
        if not isinstance(assistant.patch_embed.proj, conv):
            raise ValueError(
                'assistant and lead must both be for images, or both for clips'
            )
        self.shares_embedding = _shapes(assistant.patch_embed) == _shapes(
            lead.patch_embed
        )
        if self.shares_embedding:
            _remove_embedding(lead, nn.Identity())
        self.cb_modules = nn.ModuleList([assistant, lead])
        self._check_coordinates()
        self.cb_linears = nn.ModuleList(
            nn.ModuleList(
                nn.Identity() if theirs == dim else conv(theirs, dim, 1)
                for theirs in assistant.num_features[index:]
            )
            for index, dim in enumerate(lead.stage_dims)
        )
        self.out_indices = lead.out_indices
        self.channels, self.strides = lead.channels, lead.strides

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the pyramid of the lead; see there."""
        return self.forward_both(x)[1]

    def forward_both(self, x: Tensor) -> list[tuple[Tensor, ...]]:
        """Compute the pyramids of the assistant and of the lead.

        Args:
            x: Input `(B, C, *size)` of any size.

        Returns:
            For each a tuple of maps `(B, C_i, *grid)`, one for each of the
            lead's `out_indices`. Their channels differ where the backbones
            do.
        """
        assistant, lead = self.cb_modules
        tokens = assistant.embed_patches(x)
        helping = assistant.forward_stages(tokens)
        if not self.shares_embedding:
            tokens = lead.embed_patches(x)
        outputs = lead.forward_stages(
            tokens,
            lambda index, x: x + self._assistant_features(index, helping, x),
        )
        return [tuple(helping[i] for i in self.out_indices), outputs]

    def _assistant_features(
        self, index: int, helping: Sequence[Tensor], x: Tensor
    ) -> Tensor:
        """What is added to the input `x` of a stage, `(B, *grid, C)`."""
        grid = x.shape[1:-1]
        maps = [
            project(level)
            for project, level in zip(self.cb_linears[index], helping[index:])
        ]
        maps = [
            level
            if level.shape[2:] == grid
            else F.interpolate(level, size=grid, mode='nearest')
            for level in maps
        ]
        return sum(maps[1:], maps[0]).movedim(1, -1)

    def init_weights(self) -> None:
        """Load or draw the weights of both; let the convolutions be zero."""
        for linears in self.cb_linears:
            for linear in linears:
                for parameter in linear.parameters():
                    nn.init.zeros_(parameter)
        assistant, lead = self.cb_modules
        own = lead.patch_embed
        if self.shares_embedding:
            _share_embedding(assistant, lead)
        lead.init_weights()
        if self.shares_embedding:
            _remove_embedding(lead, own)
        # Last, so that the embedding is of its own file.
        assistant.init_weights()
        self._check_coordinates()
        self._is_init = True

    def _check_coordinates(self) -> None:
        """Raise if a checkpoint could not say how both read offsets."""
        first, second = (_log_mlps(backbone) for backbone in self.cb_modules)
        for one, other in zip(first, second):
            same = (one.window_size, one.pretrained_window_size) == (
                other.window_size,
                other.pretrained_window_size,
            )
            if not (
                same
                or one.cpb_mlp.window_was_given
                and other.cpb_mlp.window_was_given
            ):
                raise ValueError(
                    'two Swin V2 of different windows need '
                    'pretrained_window_sizes in both configs: a checkpoint '
                    'records one for both. They have windows of '
                    f'{one.window_size} and {other.window_size}, of weights '
                    f'trained with {one.pretrained_window_size} and '
                    f'{other.pretrained_window_size}'
                )


def _log_mlps(backbone: SwinPyramid) -> list:
    """An attention of each stage, if they are those of Swin V2."""
    parts = [stage.blocks[0].mixer for stage in backbone.layers]
    return [part for part in parts if hasattr(part, 'pretrained_window_size')]


def _build(cfg: dict) -> SwinPyramid:
    backbone: Any = MODELS.build(cfg)
    if not isinstance(backbone, SwinPyramid):
        raise ValueError(
            'backbones must be of this package, such as '
            'swin_dense.SwinTransformer, got '
            f'{type(backbone).__name__}'
        )
    return backbone


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in module.named_parameters()}


def _share_embedding(assistant: SwinPyramid, lead: SwinPyramid) -> None:
    """Complete a lead that has no embedding, as weights are loaded into it."""
    lead.patch_embed = assistant.patch_embed
    lead.pretrain_grid = assistant.pretrain_grid
    if assistant.pretrain_grid:
        lead.absolute_pos_embed = assistant.absolute_pos_embed


def _remove_embedding(lead: SwinPyramid, identity: nn.Module) -> None:
    """Let a backbone begin with the tokens of another."""
    lead.patch_embed = identity
    if lead.pretrain_grid:
        lead.pretrain_grid = None
        del lead.absolute_pos_embed
