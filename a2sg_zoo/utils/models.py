"""Networks inside the wrappers of data-parallel training, and what they take."""

from typing import Any

from torch import nn


def unwrap_model(model: nn.Module) -> Any:
    """Return the network itself.

    Args:
        model: a network, or MMEngine's or torch's wrapper around it (such as `MMDistributedDataParallel`).
    """
    from mmengine.model import is_model_wrapper

    return model.module if is_model_wrapper(model) else model


def input_channels(backbone: nn.Module) -> int | None:
    """Return the number of channels of pictures or event frames that a backbone takes; None for sequences."""
    first = next((module for module in backbone.modules() if isinstance(module, nn.Conv2d)), None)
    return None if first is None else first.in_channels
