"""Take and restore the states of all generators of random numbers."""

import random
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class RandomState(NamedTuple):
    """States of the generators that models and augmentation draw from.

    Attributes:
        python: State of `random`.
        numpy: State of NumPy's global generator.
        torch: State of PyTorch's generator on the CPU.
        cuda: State of the current CUDA device, None without CUDA in use.
    """

    python: Any
    numpy: Any
    torch: Tensor
    cuda: Tensor | None


def random_state() -> RandomState:
    """Return the present states of all generators of this process."""
    in_use = torch.cuda.is_available() and torch.cuda.is_initialized()
    return RandomState(
        random.getstate(),
        np.random.get_state(),
        torch.get_rng_state(),
        torch.cuda.get_rng_state() if in_use else None,
    )


def restore_random_state(state: RandomState) -> None:
    """Set all generators of this process back to a state."""
    random.setstate(state.python)
    np.random.set_state(state.numpy)
    torch.set_rng_state(state.torch)
    if state.cuda is not None:
        torch.cuda.set_rng_state(state.cuda)
