"""The pyramid that all Swin backbones share."""
from difflib import get_close_matches
from functools import partial
from inspect import signature
from typing import Any, Callable, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from mmengine.model import BaseModule, initialize
from torch import Tensor, nn

from swin_dense.layers import (AttentionCore, FeedForward, PatchEmbed,
                               SwinBlock, SwinStage)
from swin_dense.ops.grid import Grid


def reject_unknown(cls: type, unknown: dict[str, Any]) -> None:
    """Refuse arguments that a class does not have.

    Raises:
        TypeError: If there are any; names the nearest that exists.
    """
    known = [name for name in signature(cls).parameters if name != 'unknown']
    for name in unknown:
        near = get_close_matches(name, known, n=1)
        hint = f' Did you mean {near[0]!r}?' if near else ''
        raise TypeError(f'{cls.__name__} has no argument {name!r}.{hint} '
                        f'It takes: {", ".join(known)}.')


def arch_sizes(arch: Union[str, dict[str, Any]],
               archs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Sizes of an architecture by name, first letter, or as given.

    Args:
        arch: A name, in any case, or a dictionary of sizes.
        archs: Sizes by name. What one has and another has not is optional.

    Raises:
        ValueError: If there is no such architecture, or the dictionary lacks
            a size or has another.
    """
    needed = min(archs.values(), key=len)
    allowed = max(archs.values(), key=len)
    if isinstance(arch, str):
        for name, sizes in archs.items():
            if arch.lower() in (name, name[0]):
                return sizes
    elif set(needed) <= set(arch) <= set(allowed):
        return dict(arch)
    raise ValueError(
        f'arch must be one of {", ".join(archs)}, or a dictionary of '
        f'{", ".join(allowed)}, got {arch!r}')


def pretrained_cfg(pretrained: Optional[str],
                   init_cfg: Optional[dict]) -> Optional[dict]:
    """`init_cfg`, or what the old argument `pretrained` stands for.

    Raises:
        ValueError: If both are given.
    """
    if pretrained is None:
        return init_cfg
    if init_cfg is not None:
        raise ValueError('give init_cfg or pretrained, not both')
    return dict(type='Pretrained', checkpoint=pretrained)


def layer_from_cfg(cfg: dict, what: str) -> Any:
    """The class, with its arguments bound, of a config such as `GELU`.

    Args:
        cfg: `type` is `LN` or the name of a class of `torch.nn`; the rest are
            arguments.
        what: Name of the config in the error.

    Raises:
        ValueError: If there is no such class.
    """
    kwargs = {k: v for k, v in cfg.items() if k != 'requires_grad'}
    name = kwargs.pop('type', None)
    cls = nn.LayerNorm if name == 'LN' else getattr(nn, str(name), None)
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ValueError(
            f'{what} must name a layer of torch.nn in "type", for instance '
            f'"LN" or "GELU", got {cfg!r}')
    return partial(cls, **kwargs) if kwargs else cls


class SwinPyramid(BaseModule):
    """Patch embedding, stages, and a norm for each output.

    The subclasses say what differs between the members of the family. Parts
    are named as in the official checkpoints.

    Attributes:
        channels: Channels of each output.
        strides: Input pixels per token, height and width alike, of each
            output.
        stage_dims: Channels inside each stage.

    Args:
        patch_size: Patch per axis; its length is the number of axes.
        in_channels: Channels of the input.
        embed_dims: Channels C of the first stage; doubled by each merging.
        depths: Blocks of each stage.
        num_heads: Attention heads of each stage.
        attention: For each stage what makes an attention from its channels
            and `num_heads`. Its window is that of the stage.
        mlp_ratio: Hidden channels of the feed-forward networks, over C.
        drop_rate: Dropout after the embedding.
        mlp_drop_rate: Dropout after the layers of the feed-forward networks.
        drop_path_rate: Stochastic depth rate of the last block; rises
            linearly from 0 at the first.
        out_indices: Stages whose maps are put out.
        out_after_merging: Whether the map of a stage is put out after its
            merging instead of before.
        pretrain_grid: Size of the absolute position embedding in tokens per
            axis; None for no such embedding. It is interpolated to other
            sizes.
        interpolate_mode: How, as in `torch.nn.functional.interpolate`.
        activation: Makes the activation.
        norm: Makes the norm for a number of channels.
        output_norm: The same for the outputs; `norm` where None.
        post_norm: Whether the norm of a branch is its last step, see
            `SwinBlock`.
        branch_norm_init: Weight at which such a norm starts.
        extra_norm_every: Every so many blocks of a stage one has an extra
            norm, see `SwinBlock`; 0 for none.
        patch_norm: Whether the embedding has a norm.
        merging: Makes the merging for a number of channels.
        shrink: Whether windows shrink to small maps, see `fit_window`.
        mask_padding: Whether padding is hidden from real tokens.
        frozen_stages: -1 for none; 0 freezes the embedding, k also the first
            k stages and their output norms.
        with_cp: Whether activations are recomputed in the backward pass.
        init_cfg: `dict(type='Pretrained', checkpoint=...)` with a file or
            address in any known format; it may have `method` and
            `source_window`, see `load_backbone`. Or one of mmengine's
            initialisations with `layer`, such as `dict(type='Xavier',
            layer='Linear')`, which is applied after the usual one: narrow
            models start faster with larger weights. Or None.

    Raises:
        ValueError: If sizes do not agree with one another.
    """

    def __init__(self,
                 *,
                 patch_size: Grid,
                 in_channels: int,
                 embed_dims: int,
                 depths: Sequence[int],
                 num_heads: Sequence[int],
                 attention: Sequence[Callable[..., AttentionCore]],
                 mlp_ratio: float,
                 drop_rate: float,
                 mlp_drop_rate: float,
                 drop_path_rate: float,
                 out_indices: Sequence[int],
                 pretrain_grid: Optional[Grid],
                 activation: Any,
                 norm: Any,
                 patch_norm: bool,
                 merging: Callable[[int], nn.Module],
                 shrink: bool,
                 mask_padding: bool,
                 frozen_stages: int,
                 with_cp: bool,
                 output_norm: Any = None,
                 post_norm: bool = False,
                 branch_norm_init: float = 0.,
                 extra_norm_every: int = 0,
                 interpolate_mode: str = 'bicubic',
                 out_after_merging: bool = False,
                 init_cfg: Optional[dict] = None) -> None:
        needed = 'checkpoint' if (
            init_cfg or {}).get('type') == 'Pretrained' else 'layer'
        if init_cfg is not None and not init_cfg.get(needed):
            raise ValueError(
                "init_cfg must be None, dict(type='Pretrained', checkpoint="
                "FILE_OR_ADDRESS) or mmengine's initialisation of some "
                "layers, such as dict(type='Xavier', layer='Linear'), got "
                f'{init_cfg!r}')
        super().__init__(init_cfg)
        count = len(depths)
        if len(num_heads) != count:
            raise ValueError('depths and num_heads need one number for each '
                             f'stage, got {depths=} and {num_heads=}')
        if sorted(set(out_indices)) != list(out_indices) or not all(
                0 <= index < count for index in out_indices):
            raise ValueError(
                f'out_indices must be rising stage numbers below {count}, '
                f'got {out_indices}')
        if not -1 <= frozen_stages <= count:
            raise ValueError(
                f'frozen_stages must be between -1 and {count}, the number '
                f'of stages, got {frozen_stages}')
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.branch_norm_init = branch_norm_init
        self.stage_dims = dims = [embed_dims * 2**i for i in range(count)]
        self.out_after_merging = out_after_merging
        merged = [min(i + out_after_merging, count - 1) for i in range(count)]
        self.num_features = [dims[i] for i in merged]
        self.channels = tuple(self.num_features[i] for i in out_indices)
        self.strides = tuple(patch_size[-1] * 2**merged[i]
                             for i in out_indices)

        self.patch_embed = PatchEmbed(in_channels, embed_dims, patch_size,
                                      norm if patch_norm else None)
        self.pretrain_grid = pretrain_grid
        self.interpolate_mode = interpolate_mode
        if pretrain_grid:
            tokens = torch.Size(pretrain_grid).numel()
            self.absolute_pos_embed = nn.Parameter(
                torch.zeros(1, tokens, embed_dims))
        self.pos_drop = nn.Dropout(drop_rate)

        last = max(1, sum(depths) - 1)
        rates = (drop_path_rate * i / last for i in range(sum(depths)))
        self.layers = nn.ModuleList()
        for index, (dim, depth) in enumerate(zip(dims, depths)):
            blocks = [
                SwinBlock(
                    dim, attention[index](dim, num_heads=num_heads[index]),
                    FeedForward(dim, int(dim * mlp_ratio), mlp_drop_rate,
                                activation), norm, next(rates), post_norm,
                    extra_norm_every > 0 and number % extra_norm_every == 0)
                for number in range(1, depth + 1)
            ]
            self.layers.append(
                SwinStage(blocks, blocks[0].attn.window_size,
                          merging(dim) if index < count - 1 else None, shrink,
                          mask_padding, with_cp))
        for index in out_indices:
            self.add_module(f'norm{index}',
                            (output_norm or norm)(self.num_features[index]))
        self._freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the pyramid.

        Args:
            x: Input `(B, in_channels, *size)` of any size.

        Returns:
            For each of `out_indices` a contiguous map `(B, C, *grid)`.
            Sizes round up at the embedding and at each merging.
        """
        return self.climb(self.embed(x))

    def embed(self, x: Tensor) -> Tensor:
        """The map `(B, *grid, C)` that the first stage takes."""
        x = self.patch_embed(x)
        if self.pretrain_grid:
            x = x + self._position_embedding(tuple(x.shape[1:-1]))
        return self.pos_drop(x)

    def climb(
        self,
        x: Tensor,
        enrich: Optional[Callable[[int, Tensor], Tensor]] = None
    ) -> tuple[Tensor, ...]:
        """Compute the pyramid of an embedded input.

        Args:
            x: What `embed` returned.
            enrich: Takes the number of a stage and its input `(B, *grid, C)`,
                and returns what the stage gets instead.

        Returns:
            See `forward`.
        """
        outputs = []
        for index, stage in enumerate(self.layers):
            if enrich is not None:
                x = enrich(index, x)
            out, x = stage(x)
            if self.out_after_merging:
                out = x
            if index in self.out_indices:
                out = getattr(self, f'norm{index}')(out)
                outputs.append(out.movedim(-1, 1).contiguous())
        return tuple(outputs)

    def _position_embedding(self, grid: Grid) -> Tensor:
        """The absolute embedding `(1, *grid, C)`, interpolated if needed."""
        x = self.absolute_pos_embed.unflatten(1, self.pretrain_grid)
        if grid == self.pretrain_grid:
            return x
        x = F.interpolate(
            x.movedim(-1, 1),
            size=grid,
            mode=self.interpolate_mode,
            align_corners=False)
        return x.movedim(1, -1)

    def init_weights(self) -> None:
        """Load the pretrained weights, or draw all weights anew.

        Linear layers and bias tables get a normal distribution of deviation
        0.02 cut off at +-2, as in the official code. Norms that end a branch
        (Swin V2) start at 0, so that the branch does, or where
        `branch_norm_init` says.
        """
        if (self.init_cfg or {}).get('type') == 'Pretrained':
            # Loading knows the hosts' formats; plain use does not need it.
            from swin_dense.checkpoints.load import load_backbone
            transfer = {
                key: self.init_cfg[key]
                for key in ('method', 'source_window') if key in self.init_cfg
            }
            load_backbone(self, self.init_cfg['checkpoint'], **transfer)
            self._is_init = True
            return
        MMLogger.get_current_instance().info(
            f'{type(self).__name__}: no pretrained weights, starts from '
            'scratch')
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            elif isinstance(module, AttentionCore):
                module.init_position()
        for module in self.modules():
            if isinstance(module, SwinBlock) and module.post_norm:
                for norm in (module.norm1, module.norm2):
                    nn.init.constant_(norm.weight, self.branch_norm_init)
                    nn.init.zeros_(norm.bias)
        if self.pretrain_grid:
            nn.init.trunc_normal_(self.absolute_pos_embed, std=.02)
        if self.init_cfg is not None:
            initialize(self, self.init_cfg)
        self._is_init = True

    def _frozen(self) -> list[Union[nn.Module, nn.Parameter]]:
        """What `frozen_stages` freezes."""
        if self.frozen_stages < 0:
            return []
        parts: list = [self.patch_embed, self.pos_drop]
        if self.pretrain_grid:
            parts.append(self.absolute_pos_embed)
        for index in range(self.frozen_stages):
            parts.append(self.layers[index])
            if index in self.out_indices:
                parts.append(getattr(self, f'norm{index}'))
        return parts

    def _freeze(self) -> None:
        for part in self._frozen():
            part.requires_grad_(False)
            if isinstance(part, nn.Module):
                part.eval()

    def train(self, mode: bool = True) -> 'SwinPyramid':
        """Set the mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        self._freeze()
        return self
