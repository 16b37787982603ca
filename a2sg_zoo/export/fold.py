"""Batch norms merged into the convolutions before them."""

from copy import deepcopy

from mmcv.cnn import ConvModule
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from a2sg_zoo.models.backbones.meta_spikeformer import RepConv


def fold_batch_norms(network):
    """A copy of a network in evaluation mode, its batch norms merged into the convolutions before them.

    With running mean m and variance v, and the norm's weight g and bias b,

        g (W * x + c - m) / sqrt(v + eps) + b = W' * x + c'
        a = g / sqrt(v + eps),    W' = a W,    c' = b + a (c - m)

    with one a for each output channel. It is computed in float64 and stored in the convolution's own type. A batch norm
    is merged if its children's order says that it follows a convolution or linear layer: within an `nn.Sequential`
    (`TimeFolded` is one) or a `ConvModule` of mmcv; several in a row are merged one after the other. Where a `RepConv` pads
    with what zero normalises to, its 1x1 convolution, which had no bias, gets one and pads with zeros. Batch norms
    elsewhere, such as before the convolution, stay.

    The place of a merged norm is taken by `nn.Identity`, so that names stay.

    Args:
        network: any module; it is not altered.

    Returns:
        the copy; parameters need no gradient.
    """
    network = deepcopy(network).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            names = list(module._modules)
        elif isinstance(module, ConvModule) and module.with_norm:
            names = [{'conv': 'conv', 'norm': module.norm_name, 'act': 'activate'}[part] for part in module.order]
        else:
            continue
        conv = None
        for name in names:
            child = module._modules.get(name)
            if conv is not None and _can_fold(conv, child):
                _merge(conv, child)
                module._modules[name] = nn.Identity()
            elif not isinstance(child, nn.Identity):
                conv = child
        if isinstance(module, RepConv):
            module.pw1.padding = (1, 1)
    return network


def _can_fold(conv, norm):
    if not isinstance(norm, _BatchNorm) or norm.running_mean is None:
        return False
    # a transposed convolution has its output channels elsewhere
    return isinstance(conv, (nn.Conv1d, nn.Conv2d, nn.Linear))


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


def unfolded(network):
    """Names of the batch norms that are still in a network."""
    return [name for name, module in network.named_modules() if isinstance(module, _BatchNorm)]
