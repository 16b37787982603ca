"""What the callbacks of all libraries share."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from a2sg_zoo.adaptation import Policy
from a2sg_zoo.errors import ConfigError


def require_no_prepare(policy: Policy) -> None:
    """Refuses a policy that looks at the batch before each step, because the callbacks do not show it the batch.

    Raises:
        ConfigError: the policy has a method `prepare` of its own, as `Dspike` has.
    """
    if type(policy).prepare is not Policy.prepare:
        raise ConfigError(
            f'AdaptationCallback: {type(policy).__name__} needs the batch before each step (its method prepare), and '
            'this callback does not give it. Train with `a2sg-zoo train`, or in a loop of your own that calls '
            'prepare(model, data_batch, iteration) and begin(iteration, ...); or use another policy'
        )


def loss_scale(owner: Any) -> float:
    """The factor of the loss in mixed precision: that of `owner.scaler`; 1 if there is none."""
    scaler = getattr(owner, 'scaler', None)
    return scaler.get_scale() if scaler else 1.0


def without_scale(record: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """The statistics of a layer, with the SGV of the loss itself.

    Args:
        record: {statistic: tensor}.
        scale: the factor by which the loss was multiplied before the backward pass.
    """
    return {key: x / scale if key == 'sgv' else x for key, x in record.items()}
