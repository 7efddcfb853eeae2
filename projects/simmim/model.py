"""SimMIM (arXiv 2111.09886): predict the pixels of masked patches."""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn

from swin_dense.backbones.host_arguments import InitCfg, Pretrained
from swin_dense.backbones.pyramid_config import PyramidConfig
from swin_dense.ops import grid_of
from swin_dense.pretraining.encoder import Encoder, SwinEncoder, SwinV2Encoder
from swin_dense.registry import MODELS

# Keeps the division defined for an empty mask; without effect in float32.
MASK_EPS = 1e-5
VARIANCE_EPS = 1e-6


class MaskedEncoder(Encoder):
    """An encoder that sees a learned token in place of masked patches.

    Args:
        config: Sizes and settings.
        init_cfg: See `SwinPyramid`.
        pretrained: See `SwinPyramid`.
    """

    def __init__(
        self,
        config: PyramidConfig,
        init_cfg: InitCfg = None,
        pretrained: Pretrained = None,
    ) -> None:
        super().__init__(config, init_cfg, pretrained)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.embed_dims))
        nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(  # type: ignore[override]
        self, x: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Compute the map of the last stage after the norm.

        Args:
            x: Images `(B, in_channels, H, W)`.
            mask: 1 for each patch that is masked and 0 for others,
                `(B, H / 4, W / 4)`; None if no patch is masked.

        Returns:
            Map `(B, C, H / 32, W / 32)` for four stages.

        Raises:
            ValueError: If the mask has another shape.
        """
        tokens = self.patch_embed(x)  # (B, h, w, C)
        if mask is not None:
            tokens = self.replace_masked(tokens, mask)
        return self.encode(tokens)  # (B, C, h / 8, w / 8)

    def replace_masked(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return tokens `(B, h, w, C)`, the masked ones replaced.

        Args:
            tokens: Embedded patches `(B, h, w, C)`.
            mask: See `forward`.

        Raises:
            ValueError: If the mask has another shape than the map.
        """
        expected = (len(tokens), *grid_of(tokens))
        if mask.shape != expected:
            raise ValueError(
                f'the mask has the shape {tuple(mask.shape)}, but the images '
                f'have {expected} patches of '
                f'{"x".join(map(str, self.patch_embed.patch_size))} pixels: '
                'give SimMIMMask the img_size and patch_size of the encoder'
            )
        weight = mask.unsqueeze(-1).to(tokens.dtype)  # (B, h, w, 1)
        token = self.mask_token.to(tokens.dtype)  # (1, 1, C)
        return tokens * (1 - weight) + token * weight


@MODELS.register_module()
class SimMIMSwinTransformer(SwinEncoder, MaskedEncoder):
    """Swin V1 with a mask token, see `SwinEncoder` for the arguments."""


@MODELS.register_module()
class SimMIMSwinTransformerV2(SwinV2Encoder, MaskedEncoder):
    """Swin V2 with a mask token, see `SwinV2Encoder` for the arguments."""


@MODELS.register_module()
class SimMIM(BaseModel):
    """Reconstruct masked patches of images with one linear layer.

    Args:
        encoder: Config of `SimMIMSwinTransformer` or
            `SimMIMSwinTransformerV2`.
        norm_target_size: Side in pixels, odd, of the neighbourhood that each
            pixel of the target is normalised by (Swin V2: 47); None to
            predict the pixels as they are.
        data_preprocessor: Config of the preprocessor.
        init_cfg: Initialisation of mmengine.

    Raises:
        ValueError: If `norm_target_size` is not odd and above 1.
    """

    def __init__(
        self,
        encoder: dict[str, Any],
        norm_target_size: int | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if norm_target_size is not None and (
            norm_target_size < 3 or norm_target_size % 2 == 0
        ):
            raise ValueError(
                f'norm_target_size={norm_target_size} must be odd and above '
                '1, so that the neighbourhood has a centre; 47 is published'
            )
        self.encoder: Any = MODELS.build(encoder)
        self.norm_target_size = norm_target_size
        self.in_channels = self.encoder.patch_embed.proj.in_channels
        stride = self.encoder.strides[-1]
        self.decoder = nn.Sequential(
            nn.Conv2d(
                self.encoder.num_channels, stride**2 * self.in_channels, 1
            ),
            nn.PixelShuffle(stride),
        )

    def forward(  # type: ignore[override]
        self, inputs: Tensor, mask: Tensor, mode: str = 'tensor'
    ) -> Tensor | dict[str, Tensor]:
        """Reconstruct images.

        Args:
            inputs: Normalised images `(B, 3, H, W)`.
            mask: 1 for each masked patch, `(B, H / 4, W / 4)`.
            mode: `tensor` for the reconstruction, `loss` for the loss.

        Returns:
            The reconstruction `(B, 3, H, W)`, in units of the target; or
            `loss`.

        Raises:
            ValueError: If mode or mask is unknown to the model.
        """
        reconstruction = self.decoder(self.encoder(inputs, mask))
        if mode == 'tensor':
            return reconstruction
        if mode != 'loss':
            raise ValueError(
                f"SimMIM has the modes 'tensor' and 'loss', got {mode!r}"
            )
        return dict(loss=self.loss(inputs, reconstruction, mask))

    def loss(
        self, images: Tensor, reconstruction: Tensor, mask: Tensor
    ) -> Tensor:
        """Return the mean distance (L1) of masked pixels from the target.

        Args:
            images: Normalised images `(B, 3, H, W)`.
            reconstruction: Output of the decoder `(B, 3, H, W)`.
            mask: 1 for each masked patch, `(B, H / 4, W / 4)`.
        """
        height, width = self.encoder.patch_embed.patch_size
        pixels = mask.repeat_interleave(height, 1)
        pixels = pixels.repeat_interleave(width, 2)[:, None]  # (B, 1, H, W)
        target = self.target(images)
        # Not in half precision, which cannot count the pixels.
        dtype = torch.promote_types(reconstruction.dtype, torch.float32)
        distance = (target - reconstruction.to(dtype)).abs()
        return (
            (distance * pixels).sum()
            / (pixels.sum() + MASK_EPS)
            / self.in_channels
        )

    def target(self, images: Tensor) -> Tensor:
        """Return the target `(B, 3, H, W)` of images of this shape."""
        if self.norm_target_size is None:
            return images
        mean, deviation = local_statistics(images, self.norm_target_size)
        return (images - mean) / deviation

    def invert_target(self, predicted: Tensor, images: Tensor) -> Tensor:
        """Return predicted images, without the normalisation of the target.

        Args:
            predicted: Prediction `(B, 3, H, W)` in units of the target.
            images: The images that were predicted `(B, 3, H, W)`.
        """
        if self.norm_target_size is None:
            return predicted
        mean, deviation = local_statistics(images, self.norm_target_size)
        return predicted * deviation + mean


def local_statistics(images: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of the neighbourhood of each pixel.

    Args:
        images: Images `(B, C, H, W)`.
        size: Side of the neighbourhood in pixels, odd. Of neighbourhoods at
            the border, the part inside of the image counts.

    Returns:
        Mean and unbiased standard deviation of each channel, both
        `(B, C, H, W)`. 1e-6 is added to the variance, so that a neighbourhood
        of one colour has a deviation.
    """
    mean = _local_mean(images, size)
    variance = _local_mean(images.square(), size) - mean.square()
    count = _local_counts(images, size)  # (H, W)
    variance = (variance * (count / (count - 1))).clamp(min=0)
    return mean, (variance + VARIANCE_EPS).sqrt()


def _local_mean(images: Tensor, size: int) -> Tensor:
    """Average the neighbourhood of each pixel, first its rows.

    As many rows of a column are inside of the image as of its neighbours, so
    the mean of the means of rows is the mean of all.
    """
    half = size // 2
    for kernel, padding in (((1, size), (0, half)), ((size, 1), (half, 0))):
        images = F.avg_pool2d(
            images, kernel, 1, padding, count_include_pad=False
        )
    return images


def _local_counts(images: Tensor, size: int) -> Tensor:
    """Return how many pixels of each neighbourhood are inside, `(H, W)`."""
    half = size // 2
    counts = []
    for length in images.shape[-2:]:
        place = torch.arange(length, device=images.device)
        first = (place - half).clamp(min=0)
        last = (place + half).clamp(max=length - 1)
        counts.append((last - first + 1).to(images.dtype))
    return counts[0][:, None] * counts[1]
