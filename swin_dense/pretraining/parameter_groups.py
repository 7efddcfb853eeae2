"""Parameters with and without weight decay, as pretraining groups them."""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from swin_dense.registry import OPTIM_WRAPPER_CONSTRUCTORS

SETTING = 'decays_position_bias'
# Full names, and parts of the names of what learns position biases and the
# factor of cosines.
_WITHOUT_DECAY = ('encoder.mask_token', 'encoder.absolute_pos_embed')
_POSITION_BIAS = ('relative_position_bias_table', 'cpb_mlp', 'logit_scale')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PretrainingConstructor(DefaultOptimWrapperConstructor):
    """Makes two groups of parameters: with weight decay, and without.

    Without weight decay are vectors, biases, the mask token and the absolute
    position embedding of `encoder`. The only setting of `paramwise_cfg`
    decides on position bias tables, the log-MLP and the factor of the
    cosines:

    - `decays_position_bias=False` leaves them without weight decay. This is
      what the authors of Swin intended, and what their other trainings do.
    - `decays_position_bias=True` decays all of them but vectors. This is how
      the published SimMIM checkpoints were trained: a prefix in the official
      code keeps its list of exceptions from matching.

    Raises:
        ValueError: If the setting is absent or no truth value, or there is
            another one.
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None
    ) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        # mmengine skips `add_params` if there are no settings.
        if (
            set(self.paramwise_cfg) != {SETTING}
            or type(self.paramwise_cfg[SETTING]) is not bool
        ):
            raise ValueError(
                f'PretrainingConstructor needs paramwise_cfg=dict({SETTING}='
                'True) or False, and no other setting, got '
                f'{dict(self.paramwise_cfg)}'
            )

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: Any | None = None,
    ) -> None:
        """Add the two groups; see mmengine."""
        decays_bias = self.paramwise_cfg[SETTING]
        groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                decays = decays_weight(name, parameter, decays_bias)
                groups[decays].append(parameter)
        if groups[True]:
            params.append(dict(params=groups[True]))
        if groups[False]:
            params.append(dict(params=groups[False], weight_decay=0.0))


def decays_weight(
    name: str, parameter: nn.Parameter, decays_position_bias: bool
) -> bool:
    """Return True if a parameter has weight decay.

    Args:
        name: Its name in the whole model.
        parameter: The parameter.
        decays_position_bias: See `PretrainingConstructor`.
    """
    if parameter.ndim == 1 or name.endswith('.bias'):
        return False
    if name in _WITHOUT_DECAY:
        return False
    return decays_position_bias or not any(
        part in name for part in _POSITION_BIAS
    )
