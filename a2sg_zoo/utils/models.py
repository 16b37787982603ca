"""Networks inside the wrappers of data-parallel training."""

from typing import Any

from torch import nn


def unwrap_model(model: nn.Module) -> Any:
    """Return the network itself.

    Args:
        model: a network, or MMEngine's or torch's wrapper around it (such as `MMDistributedDataParallel`).
    """
    from mmengine.model import is_model_wrapper

    return model.module if is_model_wrapper(model) else model
