"""Optimisation settings that fit the machine at hand."""
from typing import Any, Dict

from mmengine.device import get_device
from mmengine.logging import print_log

__all__ = ['fit_precision']

# Where mmengine's AmpOptimWrapper runs; elsewhere it refuses to be built.
MIXED_PRECISION_DEVICES = ('cuda', 'npu', 'mlu', 'musa')


def fit_precision(optim_wrapper: Dict[str, Any]) -> Dict[str, Any]:
    """Train in float32 where the machine has no mixed precision.

    The COCO recipes train in mixed precision, as the published models did.
    On a machine without an accelerator the same config still has to run.

    Args:
        optim_wrapper: The settings of a config's optimizer wrapper.

    Returns:
        The same settings if the machine can follow them, else a copy with
        mmengine's plain `OptimWrapper`.
    """
    device = get_device()
    if (optim_wrapper.get('type') != 'AmpOptimWrapper'
            or device in MIXED_PRECISION_DEVICES):
        return optim_wrapper
    print_log(
        f'mixed precision needs one of {", ".join(MIXED_PRECISION_DEVICES)}, '
        f'this machine has {device}: training in float32',
        logger='current')
    kept = {
        key: value
        for key, value in optim_wrapper.items()
        if key not in ('loss_scale', 'dtype', 'use_fsdp')
    }
    return dict(kept, type='OptimWrapper')
