"""Merge batch norms into the convolutions before them."""

from collections import Counter
from copy import deepcopy

from mmcv.cnn import ConvModule
from torch import nn

from a2sg_zoo.models.backbones.meta_spikeformer import RepConv
from a2sg_zoo.models.layers.norms import BATCH_NORMS


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Return a copy of a network in evaluation mode, with its batch norms merged into the convolutions before them.

    With running mean m and variance v of a batch norm, its weight g and its bias b,

        g (W * x + c - m) / sqrt(v + eps) + b = W' * x + c'
        a = g / sqrt(v + eps),    W' = a W,    c' = b + a (c - m)

    with one `a` for each output channel. Sums and products are computed in float64 and stored in the type of the
    convolution.

    A batch norm is merged if it follows an `nn.Conv1d` or `nn.Conv2d` in an `nn.Sequential` (`TimeFolded` is one) or in
    a `ConvModule` of mmcv. Several batch norms in a row are merged one after the other. The first 1x1 convolution of a
    `RepConv` has no bias and is followed by a padding with the batch norm's value for zero; after merging it has a bias
    and pads with zeros, which gives the same. Other batch norms remain: those before a convolution; those after a
    convolution that is used in several places, is of a subclass, or computes its weight (weight norm, spectral norm);
    and those after a linear layer, because the axis that they normalise depends on the input.

    An `nn.Identity` replaces a merged batch norm, so the names of the other layers do not change.

    Args:
        network: any module; it is not changed.

    Returns:
        The copy. Its parameters need no gradient.

    Example:
        >>> import torch
        >>> from a2sg_zoo.export import fold_batch_norms
        >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
        >>> folded = fold_batch_norms(network)
        >>> folded
        Sequential(
          (0): Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1))
          (1): Identity()
        )
        >>> x = torch.rand(1, 3, 8, 8)
        >>> torch.allclose(folded(x), network(x), atol=1e-6)
        True
    """
    network = deepcopy(network).eval().requires_grad_(False)
    uses = Counter(child for module in network.modules() for child in _children(module).values())
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            names = list(_children(module))
        elif isinstance(module, ConvModule) and module.with_norm:
            names = [{'conv': 'conv', 'norm': module.norm_name, 'act': 'activate'}[part] for part in module.order]
        else:
            continue
        children, conv = _children(module), None
        for name in names:
            child = children.get(name)
            if uses[conv] == 1 and _can_merge(conv, child):
                _merge(conv, child)
                setattr(module, name, nn.Identity())
            elif not isinstance(child, nn.Identity):
                conv = child
        if isinstance(module, RepConv) and isinstance(module.pad, nn.Identity):
            module.pw1.padding = (1, 1)
    return network


def _children(module):
    """{name: child} in order; a child that is used twice has two names."""
    every = module.named_modules(remove_duplicate=False)
    return {name: child for name, child in every if name and '.' not in name}


def _can_merge(conv, norm):
    """Whether `norm` is a batch norm with running statistics after a convolution with a weight of its own."""
    if not isinstance(norm, BATCH_NORMS) or norm.running_mean is None:
        return False
    # a subclass may compute something else; weight norm and spectral norm compute the weight from other parameters
    return type(conv) in (nn.Conv1d, nn.Conv2d) and isinstance(conv.weight, nn.Parameter)


def _merge(conv, norm):
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    bias = -norm.running_mean.double() if conv.bias is None else conv.bias.double() - norm.running_mean.double()
    bias = bias * scale
    if norm.bias is not None:
        bias = bias + norm.bias.double()
    weight = conv.weight
    merged = weight.double() * scale.view(-1, *[1] * (weight.dim() - 1))
    conv.weight = nn.Parameter(merged.to(weight.dtype), requires_grad=False)
    conv.bias = nn.Parameter(bias.to(weight.dtype), requires_grad=False)


def remaining_batch_norms(network: nn.Module) -> list[str]:
    """Return the names of the batch norms that are still in a network."""
    return [name for name, module in network.named_modules() if isinstance(module, BATCH_NORMS)]
