"""Linear layers without gradients, by the fastest kernel there is."""
from functools import lru_cache
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor


@lru_cache(maxsize=1)
def _fused() -> Optional[torch._ops.OpOverloadPacket]:
    """oneDNN's product, bias and activation in one; None where it is not.

    It is what compiled models use on a CPU. It has no public name, so it is
    tried once before it is relied on.
    """
    try:
        operator = torch.ops.mkldnn._linear_pointwise
        operator(
            torch.zeros(2, 2), torch.zeros(2, 2), torch.zeros(2), 'gelu', [],
            'none')
    except (AttributeError, RuntimeError):
        return None
    return operator


def infer_linear(x: Tensor,
                 weight: Tensor,
                 bias: Optional[Tensor],
                 gelu: Optional[str] = None) -> Tensor:
    """Compute `x @ weight.T + bias`, then perhaps GELU, without gradients.

    Args:
        x: Input `(*, C)` on the CPU.
        weight: `(D, C)`.
        bias: `(D, )` or None.
        gelu: Approximation of the GELU, `none` or `tanh`; None for no GELU.

    Returns:
        Output `(*, D)`.
    """
    operator = _fused() if x.dtype == torch.float32 else None
    if operator is not None:
        activation = ('none', '') if gelu is None else ('gelu', gelu)
        return operator(x, weight, bias, activation[0], [], activation[1])
    x = F.linear(x, weight, bias)
    # In place, while the buffer is still in the cache.
    return x if gelu is None else torch.ops.aten.gelu_(x, approximate=gelu)
