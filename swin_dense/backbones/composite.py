"""Two backbones, of which the first helps the second (CBNetV2)."""

from collections.abc import Sequence
from typing import Any, cast

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from swin_dense.backbones.base import SwinPyramid
from swin_dense.backbones.host_arguments import (
    Pretrained,
    is_built_by_registry,
    pretrained_cfg,
)
from swin_dense.registry import MODELS


@MODELS.register_module()
class CompositeBackbone(BaseModule):
    """Two backbones, of which the first, the assistant, helps the lead.

    Dense higher-level composition of CBNetV2 (arXiv 2107.00420, section 3.3).
    Before stage i of the lead runs, the outputs of stages i, i + 1, ... of
    the assistant are normalised, projected by a 1x1 convolution if their
    channels differ, resized to the lead's map (nearest neighbour), and added
    to its input. The convolutions start at zero, so at first only the map of
    the same level is added. If the embeddings have the same shape, the lead
    has no embedding and starts from the tokens of the assistant.

    `forward` returns the pyramid of the lead. `forward_both` also returns
    that of the assistant, for the auxiliary branch of training;
    `swin_dense.CompositeRCNN` trains on both.

    Parameter names are those of the official code: `cb_modules.0` is the
    assistant, `cb_modules.1` the lead, and `cb_linears.{i}.{j}` projects
    stage i + j of the assistant for stage i of the lead.

    Attributes:
        channels: Channels of each output.
        strides: Input pixels per token of each output.

    Args:
        backbones: Configs of the assistant and of the lead: any two backbones
            of this package with the same number of stages and axes. The
            `out_indices` of the lead hold for both pyramids.
        init_cfg: Initialisation of each backbone whose config has none, see
            `SwinPyramid`.
        pretrained: File or address of weights for each backbone whose config
            has none, see `SwinPyramid`: loaded at once, as are those that
            the configs of backbones call `pretrained`.

    Raises:
        CheckpointError: If `pretrained` cannot be read or does not fit.
        ValueError: If there are not two backbones, or they do not fit each
            other.
    """

    def __init__(
        self,
        backbones: Sequence[dict],
        init_cfg: dict | None = None,
        pretrained: Pretrained = None,
    ) -> None:
        super().__init__()
        if len(backbones) != 2:
            raise ValueError(
                'backbones must be the configs of an assistant '
                f'and a lead, got {len(backbones)}'
            )
        common = pretrained_cfg(pretrained, init_cfg)
        self._loads_at_once = pretrained is not None or any(
            cfg.get('pretrained') for cfg in backbones
        )
        assistant_cfg, lead_cfg = (
            dict(cfg)
            if cfg.get('init_cfg') or cfg.get('pretrained')
            else dict(cfg, init_cfg=common)
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
        conv: Any = type(lead.patch_embed.proj)
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
        self._check_pretrained_windows()
        self.cb_linears = nn.ModuleList(
            nn.ModuleList(
                nn.Identity() if channels == dim else conv(channels, dim, 1)
                for channels in assistant.num_features[index:]
            )
            for index, dim in enumerate(lead.stage_dims)
        )
        self.out_indices = lead.out_indices
        self.channels, self.strides = lead.channels, lead.strides
        if self._loads_at_once and not is_built_by_registry(self):
            self.init_weights()

    @property
    def assistant(self) -> SwinPyramid:
        """Return the backbone that helps."""
        return cast(SwinPyramid, self.cb_modules[0])

    @property
    def lead(self) -> SwinPyramid:
        """Return the backbone that is helped."""
        return cast(SwinPyramid, self.cb_modules[1])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the pyramid of the lead.

        Args:
            x: Input `(B, in_channels, *size)` of any size.

        Returns:
            A map `(B, C_i, *grid)` for each of `out_indices`.
        """
        return self.forward_both(x)[1]

    def forward_both(self, x: Tensor) -> list[tuple[Tensor, ...]]:
        """Compute the pyramids of the assistant and of the lead.

        Args:
            x: Input `(B, in_channels, *size)` of any size.

        Returns:
            The pyramid of the assistant and that of the lead, each a tuple of
            maps `(B, C_i, *grid)`, one for each of the lead's `out_indices`.
            Channels differ if the sizes of the backbones do.
        """
        tokens = self.assistant.embed_patches(x)
        features = self.assistant.forward_stages(tokens)
        if not self.shares_embedding:
            tokens = self.lead.embed_patches(x)
        outputs = self.lead.forward_stages(
            tokens,
            lambda index, x: x + self._assistant_features(index, features, x),
        )
        return [tuple(features[i] for i in self.out_indices), outputs]

    def _assistant_features(
        self, index: int, features: Sequence[Tensor], x: Tensor
    ) -> Tensor:
        """Return the features to add to the input of a stage of the lead.

        Args:
            index: Number of the stage.
            features: Maps `(B, C_i, *grid_i)` of all stages of the assistant.
            x: Input of the stage, `(B, *grid, C)`.

        Returns:
            Map `(B, *grid, C)`.
        """
        grid = x.shape[1:-1]
        projections: Any = self.cb_linears[index]
        maps = [
            project(level)
            for project, level in zip(projections, features[index:])
        ]
        maps = [
            level
            if level.shape[2:] == grid
            else F.interpolate(level, size=grid, mode='nearest')
            for level in maps
        ]  # each (B, C, *grid)
        return sum(maps[1:], maps[0]).movedim(1, -1)  # (B, *grid, C)

    def init_weights(self) -> None:
        """Load or initialise both backbones; set the convolutions to 0.

        Weights that were loaded at once are kept.
        """
        if self._loads_at_once and self.is_init:
            return
        for parameter in self.cb_linears.parameters():
            nn.init.zeros_(parameter)
        assistant, lead = self.assistant, self.lead
        if self.shares_embedding:
            # A checkpoint of the lead holds an embedding, which needs a place.
            identity = lead.patch_embed
            _share_embedding(assistant, lead)
            lead.init_weights()
            _remove_embedding(lead, identity)
        else:
            lead.init_weights()
        # Last, so that a shared embedding is that of the assistant's weights.
        assistant.init_weights()
        self._check_pretrained_windows()
        self._is_init = True

    def _check_pretrained_windows(self) -> None:
        """Check that a checkpoint can record the pretrained windows of both.

        Raises:
            ValueError: If the two are Swin V2 of different windows and either
                config leaves its pretrained windows open.
        """
        pairs = zip(
            _cosine_attentions(self.assistant), _cosine_attentions(self.lead)
        )
        for first, second in pairs:
            same = (first.window_size, first.pretrained_window_size) == (
                second.window_size,
                second.pretrained_window_size,
            )
            if not (
                same
                or first.cpb_mlp.window_was_given
                and second.cpb_mlp.window_was_given
            ):
                raise ValueError(
                    'two Swin V2 of different windows need '
                    'pretrained_window_sizes in both configs: a checkpoint '
                    'records one for both. They have windows of '
                    f'{first.window_size} and {second.window_size}, of '
                    f'weights trained with {first.pretrained_window_size} and '
                    f'{second.pretrained_window_size}'
                )


def _cosine_attentions(backbone: SwinPyramid) -> list[Any]:
    """Return the first attention of each stage; [] if it is not Swin V2."""
    stages: Any = backbone.layers
    mixers = [stage.blocks[0].mixer for stage in stages]
    return [m for m in mixers if hasattr(m, 'pretrained_window_size')]


def _build(cfg: dict) -> SwinPyramid:
    """Build a backbone of this package from its config."""
    backbone: Any = MODELS.build(cfg)
    if not isinstance(backbone, SwinPyramid):
        raise ValueError(
            'backbones must be of this package, such as '
            'swin_dense.SwinTransformer, got '
            f'{type(backbone).__name__}'
        )
    return backbone


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter by name."""
    return {name: tuple(p.shape) for name, p in module.named_parameters()}


def _share_embedding(assistant: SwinPyramid, lead: SwinPyramid) -> None:
    """Give the lead the embedding of the assistant."""
    lead.patch_embed = assistant.patch_embed
    lead.pretrain_grid = assistant.pretrain_grid
    if assistant.pretrain_grid:
        lead.absolute_pos_embed = assistant.absolute_pos_embed


def _remove_embedding(lead: SwinPyramid, identity: nn.Module) -> None:
    """Replace the embedding of the lead by a module without parameters."""
    lead.add_module('patch_embed', identity)
    if lead.pretrain_grid:
        lead.pretrain_grid = None
        del lead.absolute_pos_embed
