"""MoBY (arXiv 2105.04553): contrast two views of each image."""

from collections.abc import Sequence
from math import cos, pi
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from torch import Tensor, nn

from swin_dense.registry import MODELS


class ContrastiveMLP(nn.Module):
    """A network of two layers, with a batch norm between them.

    Args:
        in_channels: Channels of the input.
        hidden_channels: Channels between the layers.
        out_channels: Channels of the output.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 4096,
        out_channels: int = 256,
    ) -> None:
        super().__init__()
        # The first entry gives the others their official numbers.
        self.linear_hidden = nn.Sequential(
            nn.Identity(),
            nn.Linear(in_channels, hidden_channels),
            nn.SyncBatchNorm(hidden_channels),
            nn.ReLU(inplace=True),
        )
        self.linear_out = nn.Linear(hidden_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors `(B, out_channels)` of `(B, in_channels)`."""
        return self.linear_out(self.linear_hidden(x))


@MODELS.register_module()
class MoBY(BaseModel):
    """Tell the other view of an image from views of earlier images.

    An online encoder sees both views. Each result has to be close to what a
    momentum encoder, a running mean of the online one, makes of the other
    view, and far from what it made of the images in a queue.

    Args:
        encoder: Config of the encoder, such as `SwinEncoder`. The momentum
            encoder has no stochastic depth.
        momentum: Share of the momentum encoder that is kept in the first
            step; it rises to 1 along a cosine.
        temperature: Divides the cosines.
        queue_size: Number of earlier images, for each of two queues.
        hidden_channels: Channels inside projector and predictor.
        channels: Channels of the vectors that are compared.
        data_preprocessor: Config of the preprocessor.
        init_cfg: Initialisation of mmengine.

    Raises:
        ValueError: If a number is out of range.
    """

    queue1: Tensor
    queue2: Tensor
    queue_ptr: Tensor

    def __init__(
        self,
        encoder: dict[str, Any],
        momentum: float = 0.99,
        temperature: float = 0.2,
        queue_size: int = 4096,
        hidden_channels: int = 4096,
        channels: int = 256,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if not 0 <= momentum <= 1:
            raise ValueError(f'momentum={momentum} must be from 0 to 1')
        if not temperature > 0:
            raise ValueError(f'temperature={temperature} must be above 0')
        if queue_size < 1:
            raise ValueError(f'queue_size={queue_size} must be 1 or more')
        self.momentum, self.temperature = momentum, temperature
        self.encoder: Any = MODELS.build(encoder)
        self.encoder_k: Any = MODELS.build({**encoder, 'drop_path_rate': 0.0})
        sizes = (self.encoder.num_channels, hidden_channels, channels)
        self.projector = ContrastiveMLP(*sizes)
        self.projector_k = ContrastiveMLP(*sizes)
        self.predictor = ContrastiveMLP(channels, hidden_channels, channels)
        for module in (self.encoder_k, self.projector_k):
            module.requires_grad_(False)
        self._copy_online()
        for name in ('queue1', 'queue2'):
            queue = torch.randn(channels, queue_size)
            self.register_buffer(name, F.normalize(queue, dim=0))
        self.register_buffer('queue_ptr', torch.zeros(1, dtype=torch.long))

    def init_weights(self) -> None:
        """Initialise the online networks, and copy them."""
        super().init_weights()
        self._copy_online()

    def forward(  # type: ignore[override]
        self, inputs: Sequence[Tensor], mode: str = 'tensor'
    ) -> Tensor | dict[str, Tensor]:
        """Contrast two views of images.

        Args:
            inputs: Two views of each image, both `(B, 3, H, W)`.
            mode: `loss` for the loss, which also updates momentum networks
                and queues; `tensor` for the features of the first view.

        Returns:
            The loss, or features `(B, C)`.

        Raises:
            ValueError: If mode is unknown, there are not two views, or the
                batch of all processes does not divide the queue.
        """
        if mode == 'tensor':
            return self.features(self.encoder, inputs[0])
        if mode != 'loss':
            raise ValueError(
                f"MoBY has the modes 'tensor' and 'loss', got {mode!r}"
            )
        if len(inputs) != 2:
            raise ValueError(
                f'MoBY compares two views of each image, got {len(inputs)}: '
                'end the pipeline with TwoViews'
            )
        first, second = (self.query(view) for view in inputs)
        with torch.no_grad():
            self.update_momentum(*self.progress())
            keys = [self.key(view) for view in inputs]
        loss = self.contrast(first, keys[1], self.queue2)
        loss = loss + self.contrast(second, keys[0], self.queue1)
        self.enqueue(*keys)
        return dict(loss=loss)

    @staticmethod
    def features(encoder: Any, images: Tensor) -> Tensor:
        """Return the mean of the map `(B, C)` of images `(B, 3, H, W)`."""
        return encoder(images).mean((-2, -1))

    def query(self, view: Tensor) -> Tensor:
        """Return what the online networks make of a view, `(B, channels)`."""
        projected = self.projector(self.features(self.encoder, view))
        return _unit(self.predictor(projected))

    def key(self, view: Tensor) -> Tensor:
        """Return what the momentum networks make of it, `(B, channels)`."""
        return _unit(self.projector_k(self.features(self.encoder_k, view)))

    def contrast(self, query: Tensor, key: Tensor, queue: Tensor) -> Tensor:
        """Return the cross entropy of telling a key from those in a queue.

        Args:
            query: Unit vectors of one view `(B, channels)`.
            key: Unit vectors of the other view `(B, channels)`.
            queue: Unit vectors of earlier images `(channels, K)`.
        """
        # In float32, also in mixed precision.
        with torch.autocast(query.device.type, enabled=False):
            same = (query * key).sum(1, keepdim=True)  # (B, 1)
            others = query @ queue.clone().to(query.dtype)  # (B, K)
            logits = torch.cat([same, others], 1) / self.temperature
            labels = torch.zeros(
                len(query), dtype=torch.long, device=query.device
            )
            return F.cross_entropy(logits, labels)

    def progress(self) -> tuple[int, int]:
        """Return the steps of the training that are over, and all of them.

        Outside of a training it is at its start.
        """
        info = MessageHub.get_current_instance().runtime_info
        return info.get('iter', 0), max(1, info.get('max_iters', 1))

    def momentum_at(self, step: int, num_steps: int) -> float:
        """Return the momentum after `step` of `num_steps` steps."""
        rest = (cos(pi * step / num_steps) + 1) / 2
        return 1 - (1 - self.momentum) * rest

    @torch.no_grad()
    def update_momentum(self, step: int, num_steps: int) -> None:
        """Move the momentum networks towards the online ones.

        Args:
            step: Steps of the training that are over.
            num_steps: All steps of the training.
        """
        momentum = self.momentum_at(step, num_steps)
        for online, slow in self._pairs():
            for source, target in zip(online.parameters(), slow.parameters()):
                target.mul_(momentum).add_(source, alpha=1 - momentum)

    @torch.no_grad()
    def enqueue(self, first: Tensor, second: Tensor) -> None:
        """Replace the oldest entries of the queues.

        Args:
            first: Keys of the first views `(B, channels)`, for `queue1`.
            second: Keys of the second views.

        Raises:
            ValueError: If the batch of all processes does not divide the
                queue.
        """
        start, size = int(self.queue_ptr), self.queue1.shape[1]
        for queue, keys in ((self.queue1, first), (self.queue2, second)):
            gathered = torch.cat(all_gather(keys.contiguous()))
            if size % len(gathered):
                raise ValueError(
                    f'queue_size={size} is no multiple of the batch of '
                    f'{len(gathered)} images of all processes: change one of '
                    'them'
                )
            stop = start + len(gathered)
            queue[:, start:stop] = gathered.t().to(queue.dtype)
        self.queue_ptr[0] = stop % size

    def _pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Return each online network with its momentum network."""
        return [
            (self.encoder, self.encoder_k),
            (self.projector, self.projector_k),
        ]

    @torch.no_grad()
    def _copy_online(self) -> None:
        """Copy the parameters of the online networks."""
        for online, slow in self._pairs():
            for source, target in zip(online.parameters(), slow.parameters()):
                target.copy_(source)


def _unit(vectors: Tensor) -> Tensor:
    """Return vectors `(B, C)` at length 1, in float32 or better."""
    dtype = torch.promote_types(vectors.dtype, torch.float32)
    return F.normalize(vectors.to(dtype), dim=1)
