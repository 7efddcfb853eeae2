"""The pyramid that all Swin backbones share."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from mmengine.model import BaseModule, initialize
from torch import Tensor, nn

from swin_dense.backbones.host_arguments import (
    InitCfg,
    Pretrained,
    is_built_by_registry,
    pretrained_cfg,
    split_init_cfg,
)
from swin_dense.backbones.pyramid_config import PyramidConfig
from swin_dense.checkpoints.load import load_backbone
from swin_dense.kernels import choose
from swin_dense.layers import (
    Experts,
    MultiplexedBlock,
    PatchEmbed,
    Router,
    SwinBlock,
    SwinStage,
    WindowMixer,
)
from swin_dense.ops import SizeCache, grid_of
from swin_dense.ops.grid import Grid


class SwinPyramid(BaseModule):
    """Patch embedding, stages, and a norm for each output.

    Each member of the family is a subclass that makes a `PyramidConfig` of
    its arguments. Parts are named as in the official checkpoints.

    Attributes:
        channels: Channels of each output.
        strides: Input pixels per token of each output, the same for height
            and width.
        stage_dims: Channels inside each stage.
        stage_depths: Blocks of each stage.

    Args:
        config: Sizes and settings.
        init_cfg: One of these, a list of them, or None:
            `dict(type='Pretrained', checkpoint=...)` loads a file or address
            in any known layout. It may also have `method`, `source_window`,
            `prefix`, `final_norm` and `allow_nonfinite`, see `load_backbone`.
            An initialisation of mmengine with `layer`, such as
            `dict(type='Xavier', layer='Linear')`, is applied after the usual
            initialisation: narrow models start faster with larger weights.
            Pretrained weights replace all initialisations.
        pretrained: File or address of weights in any known layout, in place
            of `init_cfg`. They are loaded at once. If a config builds the
            model, they are loaded by `init_weights()`, as those of
            `init_cfg` are: a host calls it before a training, and not if it
            is going to load a checkpoint of the whole model.

    Raises:
        CheckpointError: If `pretrained` cannot be read or does not fit.
        TypeError: If `pretrained` is not a file or address.
        ValueError: If `init_cfg` is incomplete, or is given besides
            `pretrained`.
    """

    def __init__(
        self,
        config: PyramidConfig,
        init_cfg: InitCfg = None,
        pretrained: Pretrained = None,
    ) -> None:
        init_cfg = pretrained_cfg(pretrained, init_cfg)
        split_init_cfg(init_cfg)  # raises if it is incomplete
        super().__init__(init_cfg)
        self._loads_at_once = pretrained is not None
        self._size_cache = SizeCache()
        norm, num_stages = config.norm, len(config.stages)
        patch_size, embed_dims = config.patch_size, config.embed_dims
        self.out_indices = tuple(config.out_indices)
        self.frozen_stages = config.frozen_stages
        self.frozen_offset = config.frozen_offset
        self.branch_norm_init = config.branch_norm_init
        self.init_std = config.init_std
        self.stage_dims = dims = [embed_dims * 2**i for i in range(num_stages)]
        self.stage_depths = [len(stage.mixers) for stage in config.stages]
        self.out_after_merging = config.out_after_merging
        # Mergings that the map of a stage has passed when it is an output.
        num_mergings = [
            min(i + config.out_after_merging, num_stages - 1)
            for i in range(num_stages)
        ]
        self.num_features = [dims[i] for i in num_mergings]
        self.channels = tuple(self.num_features[i] for i in self.out_indices)
        self.strides = tuple(
            patch_size[-1] * 2 ** num_mergings[i] for i in self.out_indices
        )

        self.patch_embed = PatchEmbed(
            config.in_channels,
            embed_dims,
            patch_size,
            norm if config.patch_norm else None,
        )
        self.pretrain_grid = config.pretrain_grid
        self.interpolate_mode = config.interpolate_mode
        if config.pretrain_grid:
            tokens = torch.Size(config.pretrain_grid).numel()
            self.absolute_pos_embed = nn.Parameter(
                torch.zeros(1, tokens, embed_dims)
            )
        self.pos_drop = nn.Dropout(config.drop_rate)

        num_runs = sum(
            len(stage.mixers) * (stage.repeats or 1) for stage in config.stages
        )
        rates = (
            config.drop_path_rate * i / max(1, num_runs - 1)
            for i in range(num_runs)
        )
        every = config.extra_norm_every
        self.layers = nn.ModuleList()
        for index, (dim, stage) in enumerate(zip(dims, config.stages)):
            blocks = [
                MultiplexedBlock(
                    dim,
                    mixer(dim),
                    feedforward(dim),
                    norm,
                    [next(rates) for _ in range(stage.repeats)],
                )
                if stage.repeats
                else SwinBlock(
                    dim,
                    mixer(dim),
                    feedforward(dim),
                    norm,
                    next(rates),
                    config.post_norm,
                    every > 0 and number % every == 0,
                )
                for number, (mixer, feedforward) in enumerate(
                    zip(stage.mixers, stage.feedforwards), start=1
                )
            ]
            self.layers.append(
                SwinStage(
                    blocks,
                    config.merging(dim) if index < num_stages - 1 else None,
                    stage.shrink,
                    stage.mask_padding,
                    stage.with_cp,
                    stage.shift_together,
                    stage.shift_small_maps,
                    stage.mask_unshifted,
                )
            )
        output_norm = config.output_norm or norm
        for index in self.out_indices:
            self.add_module(
                f'norm{index}', output_norm(self.num_features[index])
            )
        self._freeze()
        if pretrained is not None and not is_built_by_registry(self):
            self.init_weights()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the pyramid.

        Args:
            x: Input `(B, in_channels, *size)` of any size.

        Returns:
            A contiguous map `(B, C, *grid)` for each of `out_indices`. The
            embedding and each merging round the size of the grid up.
        """
        return self.forward_stages(self.embed_patches(x))

    def embed_patches(self, x: Tensor) -> Tensor:
        """Return the map `(B, *grid, C)` that the first stage takes.

        Args:
            x: Input `(B, in_channels, *size)`.
        """
        return self.place_tokens(self.patch_embed(x))  # (B, *grid, C)

    def place_tokens(self, x: Tensor) -> Tensor:
        """Return embedded patches with their position, after dropout.

        Args:
            x: Map `(B, *grid, C)` of the patch embedding.
        """
        if self.pretrain_grid:
            x = x + self._position_embedding(grid_of(x))
        return self.pos_drop(x)  # (B, *grid, C)

    def output_norm(self, index: int) -> nn.Module:
        """Return the norm of the output of stage `index`."""
        return getattr(self, f'norm{index}')

    def forward_stages(
        self,
        x: Tensor,
        before_stage: Callable[[int, Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """Compute the pyramid of an embedded input.

        Args:
            x: Map `(B, *grid, C)` that `embed_patches` returned.
            before_stage: Function that takes the number of a stage and its
                input `(B, *grid, C)`, and returns the input to use instead.

        Returns:
            See `forward`.
        """
        outputs = []
        kernels = choose(x, self._size_cache)
        for index, stage in enumerate(self.layers):
            if before_stage is not None:
                x = before_stage(index, x)
            out, x = stage(x, kernels)
            if self.out_after_merging:
                out = x
            if index in self.out_indices:
                out = self.output_norm(index)(out)
                outputs.append(out.movedim(-1, 1).contiguous())  # (B, C, ...)
        return tuple(outputs)

    def _position_embedding(self, grid: Grid) -> Tensor:
        """Return the absolute embedding `(1, *grid, C)` for a grid."""
        # (1, N, C), then (1, *pretrain_grid, C)
        x = self.absolute_pos_embed.unflatten(1, self.pretrain_grid)
        if grid == self.pretrain_grid:
            return x
        x = F.interpolate(
            x.movedim(-1, 1),
            size=grid,
            mode=self.interpolate_mode,
            align_corners=False,
        )  # (1, C, *grid)
        return x.movedim(1, -1)  # (1, *grid, C)

    def init_weights(self) -> None:
        """Load the pretrained weights, or initialise all weights.

        Weights that were loaded at once, see `pretrained`, are kept.

        Linear layers and bias tables are drawn from a normal distribution of
        standard deviation 0.02, cut off at +-2, as in the official code;
        Swin-MoE has another standard deviation for linear layers. The
        weights of norms that end a branch (Swin V2) start at
        `branch_norm_init`: with 0 the branch adds nothing at first.
        """
        if self._loads_at_once and self.is_init:
            return
        pretrained, others = split_init_cfg(self.init_cfg)
        if pretrained is not None:
            transfer = {
                key: pretrained[key]
                for key in (
                    'method',
                    'source_window',
                    'prefix',
                    'final_norm',
                    'allow_nonfinite',
                )
                if key in pretrained
            }
            # Kept for the runner, which writes what was loaded.
            self.load_report = load_backbone(
                self, pretrained['checkpoint'], **transfer
            )
            self._is_init = True
            return
        MMLogger.get_current_instance().info(
            f'{type(self).__name__}: no pretrained weights, starts from '
            'scratch'
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=self.init_std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            elif isinstance(module, (WindowMixer, Router, Experts)):
                module.reset_parameters()
        for module in self.modules():
            if isinstance(module, SwinBlock) and module.post_norm:
                norms: tuple[Any, ...] = (module.norm1, module.norm2)
                for norm in norms:
                    nn.init.constant_(norm.weight, self.branch_norm_init)
                    nn.init.zeros_(norm.bias)
        if self.pretrain_grid:
            nn.init.trunc_normal_(self.absolute_pos_embed, std=0.02)
        if others:
            initialize(self, others)
        self._is_init = True

    def get_layer_depth(
        self, param_name: str, prefix: str = ''
    ) -> tuple[int, int]:
        """Return the depth of a parameter, for layer-wise decay.

        Args:
            param_name: Name of the parameter in the whole model.
            prefix: Prefix of the backbone's parameters in the whole model.

        Returns:
            The depth, and the number of depths. The embedding has depth 0,
            the first block 1, and so on; a merging has the depth of the block
            before it; all other parameters are one deeper than the last
            block.
        """
        depths = self.stage_depths
        last = sum(depths) + 1
        part, *path = param_name.removeprefix(prefix).split('.')
        if not param_name.startswith(prefix) or part not in (
            'patch_embed',
            'layers',
        ):
            return last, last + 1
        if part == 'patch_embed':
            return 0, last + 1
        before = sum(depths[: int(path[0])])
        block = (
            int(path[2]) + 1 if path[1] == 'blocks' else depths[int(path[0])]
        )
        return before + block, last + 1

    def _frozen(self) -> list[nn.Module | nn.Parameter]:
        """Return the modules and parameters that `frozen_stages` freezes."""
        if self.frozen_stages < 0:
            return []
        return self._first_stages(self.frozen_stages + self.frozen_offset)

    def _first_stages(self, stages: int) -> list[nn.Module | nn.Parameter]:
        """Return the embedding and the first `stages` with their norms."""
        parts: list = [self.patch_embed, self.pos_drop]
        if self.pretrain_grid:
            parts.append(self.absolute_pos_embed)
        for index in range(stages):
            parts.append(self.layers[index])
            if index in self.out_indices:
                parts.append(self.output_norm(index))
        return parts

    def _freeze(self) -> None:
        """Keep frozen parts from training and in evaluation mode."""
        for part in self._frozen():
            part.requires_grad_(False)
            if isinstance(part, nn.Module):
                part.eval()

    def train(self, mode: bool = True) -> 'SwinPyramid':
        """Set the mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        self._freeze()
        return self
