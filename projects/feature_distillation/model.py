"""Feature distillation (arXiv 2205.14141): predict a teacher's features."""

import logging
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from swin_dense.pretraining.encoder import Encoder
from swin_dense.registry import MODELS


@MODELS.register_module()
class FeatureDistillation(BaseModel):
    """Train an encoder to predict the features of a frozen teacher.

    Features of the teacher are the tokens of its last output, after its norm,
    each normalised to mean 0 and variance 1 over the channels.

    Args:
        encoder: Config of the student, an encoder such as `SwinV2Encoder`.
        teacher: Config of a backbone of this package, with `init_cfg` to load
            its weights. With `final_norm=True` in it, a backbone that is no
            encoder takes the norm of a classifier, too.
        teacher_channels: Channels that the teacher is expected to have; None
            for any.
        beta: Distance up to which the loss is quadratic.
        rescales_branches: If true, the last layers of the branches of block k
            start smaller by the square root of 2k, as in the official code.
        data_preprocessor: Config of the preprocessor.
        init_cfg: Initialisation of mmengine.

    Raises:
        ValueError: If `beta` is not positive, the teacher has other channels
            than expected, or the two take images of different channels.
    """

    def __init__(
        self,
        encoder: dict[str, Any],
        teacher: dict[str, Any],
        teacher_channels: int | None = None,
        beta: float = 2.0,
        rescales_branches: bool = True,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if not beta > 0:
            raise ValueError(f'beta={beta} must be a number above 0')
        self.beta = beta
        self.rescales_branches = rescales_branches
        self.encoder: Any = MODELS.build(encoder)
        # Named as in the official checkpoints.
        self.feature_model: Any = MODELS.build(teacher).requires_grad_(False)
        channels = self.feature_model.channels[-1]
        if teacher_channels not in (None, channels):
            raise ValueError(
                f'the teacher has {channels} channels, not teacher_channels='
                f'{teacher_channels}: is it the model that you mean?'
            )
        inputs = [
            model.patch_embed.proj.in_channels
            for model in (self.encoder, self.feature_model)
        ]
        if inputs[0] != inputs[1]:
            raise ValueError(
                f'the encoder takes images of {inputs[0]} channels, the '
                f'teacher of {inputs[1]}: both see the same images'
            )
        self.decoder = nn.Sequential(
            nn.Conv1d(self.encoder.num_channels, channels, 1)
        )
        self.feature_model.eval()

    def train(self, mode: bool = True) -> 'FeatureDistillation':
        """Set the mode; the teacher stays in evaluation mode."""
        super().train(mode)
        self.feature_model.eval()
        return self

    def init_weights(self) -> None:
        """Initialise the student and load the teacher."""
        super().init_weights()
        if getattr(self.feature_model, 'load_report', None) is None:
            print_log(
                'the teacher has no weights: its init_cfg loads none, so that '
                'its features mean nothing',
                'current',
                logging.WARNING,
            )
        pretrained = getattr(self.encoder, 'load_report', None)
        if self.rescales_branches and pretrained is None:
            rescale_branches(self.encoder)

    def forward(  # type: ignore[override]
        self, inputs: Tensor, mode: str = 'tensor'
    ) -> Tensor | dict[str, Tensor]:
        """Predict features of images.

        Args:
            inputs: Normalised images `(B, 3, H, W)`.
            mode: `tensor` for the prediction, `loss` for the loss.

        Returns:
            Predicted tokens `(B, N, C)` in the channels of the teacher; or
            `loss`.

        Raises:
            ValueError: If mode is unknown, or the teacher's map has another
                size than the student's.
        """
        encoded = self.encoder(inputs)  # (B, C, h, w)
        # In float32, also in mixed precision.
        with torch.autocast(inputs.device.type, enabled=False):
            dtype = self.decoder[0].weight.dtype
            tokens = encoded.flatten(2).to(dtype)  # (B, C, N)
            predicted = self.decoder(tokens).transpose(1, 2)  # (B, N, C)
        if mode == 'tensor':
            return predicted
        if mode != 'loss':
            raise ValueError(
                "FeatureDistillation has the modes 'tensor' and 'loss', got "
                f'{mode!r}'
            )
        target = self.target(inputs, tuple(encoded.shape[2:]))
        return dict(loss=F.smooth_l1_loss(predicted, target, beta=self.beta))

    @torch.no_grad()
    def target(self, images: Tensor, grid: tuple[int, ...]) -> Tensor:
        """Return the normalised tokens `(B, N, C)` of the teacher.

        Args:
            images: Normalised images `(B, 3, H, W)`.
            grid: Size of the student's map.

        Raises:
            ValueError: If the teacher's map has another size.
        """
        features = self.feature_model(images)
        if not isinstance(self.feature_model, Encoder):
            features = features[-1]
        if features.shape[2:] != grid:
            raise ValueError(
                f'the map of the teacher has {_size(features.shape[2:])} '
                f'tokens, that of the encoder {_size(grid)}: give both '
                'patches and stages of the same number'
            )
        tokens = features.flatten(2).transpose(1, 2)  # (B, N, C)
        dtype = torch.promote_types(tokens.dtype, torch.float32)
        return F.layer_norm(tokens.to(dtype), tokens.shape[-1:])


@torch.no_grad()
def rescale_branches(encoder: Any) -> None:
    """Divide the last layers of block k by the square root of 2k, in place.

    Args:
        encoder: A Swin with attention; its blocks are counted from 1.
    """
    blocks = [block for stage in encoder.layers for block in stage.blocks]
    for number, block in enumerate(blocks, 1):
        block.attn.proj.weight.div_(sqrt(2 * number))
        block.mlp.fc2.weight.div_(sqrt(2 * number))


def _size(grid: Any) -> str:
    """Return the size of a map as text."""
    return 'x'.join(map(str, grid))
