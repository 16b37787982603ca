"""Layers without state, applied to all time steps at once: they see (T * B, ...), which is a view of (T, B, ...)."""

from collections import OrderedDict

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError


class TimeFolded(nn.Sequential):
    """Apply its children to all time steps at once: (T, B, ...) -> (T * B, ...) -> children -> (T, B, ...).

    Args:
        *layers: modules, or one `OrderedDict` of modules, as `torch.nn.Sequential` takes them.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.layers import TimeFolded
        >>> pool = TimeFolded(torch.nn.AvgPool2d(2))
        >>> pool(torch.rand(4, 1, 3, 8, 8)).shape
        torch.Size([4, 1, 3, 4, 4])
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, ...) to the children's output (T, B, ...)."""
        return self.image(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def image(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (B, ...), a tensor without a time axis, to the children's output (B, ...)."""
        return super().forward(x)


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 3,
    stride: int = 1,
    bias: bool = False,
    groups: int = 1,
    dilation: int = 1,
) -> TimeFolded:
    """Make a convolution and a batch norm on (T, B, C, H, W), the children `conv` and `bn` of a `TimeFolded`.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: height and width of the kernel, in pixels; the input is padded by half of its extent.
        stride: step of the kernel, in pixels.
        bias: whether the convolution has a bias.
        groups: groups of channels that the convolution keeps apart.
        dilation: distance of the kernel's values, in pixels.
    """
    padding = dilation * (kernel_size // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
    return TimeFolded(OrderedDict(conv=conv, bn=nn.BatchNorm2d(out_channels)))


def token_bn(in_channels: int, out_channels: int, bias: bool = True) -> TimeFolded:
    """Make a linear layer and a batch norm on tokens (T, B, C, N), the children `conv` and `bn` of a `TimeFolded`.

    The linear layer is the same for every token: a convolution of kernel size 1 over the N tokens.

    Args:
        in_channels: channels C of the input.
        out_channels: channels of the output.
        bias: whether the linear layer has a bias.
    """
    conv = nn.Conv1d(in_channels, out_channels, 1, bias=bias)
    return TimeFolded(OrderedDict(conv=conv, bn=nn.BatchNorm1d(out_channels)))


def encode(layer: TimeFolded, x: torch.Tensor, T: int) -> torch.Tensor:
    """Return the first layer's output at every time step, (T, B, ...).

    A static image (B, C, H, W) is the same at every time step, so the layer runs once, and the output is repeated
    by a view. Event frames (T, B, C, H, W) differ from step to step, so the layer runs on all of them.

    Args:
        layer: first layer of the network, with a convolution in it.
        x: images (B, C, H, W), or frames (T, B, C, H, W).
        T: number of time steps of the network.

    Raises:
        ConfigError: x has another number of dimensions, channels or frames than the network takes.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.layers import conv_bn, encode
        >>> encode(conv_bn(3, 8), torch.rand(2, 3, 16, 16), T=4).shape
        torch.Size([4, 2, 8, 16, 16])
    """
    conv = next(m for m in layer.modules() if isinstance(m, nn.Conv2d))
    if x.dim() not in (4, 5):
        raise ConfigError(f'input must be images (B, C, H, W) or frames (T, B, C, H, W), got shape {tuple(x.shape)}')
    if x.shape[-3] != conv.in_channels:
        raise ConfigError(
            f'the network takes {conv.in_channels} input channels, but the data has {x.shape[-3]} '
            f"(shape {tuple(x.shape)}); set the backbone's in_channels"
        )
    if x.dim() == 5:
        if len(x) != T:
            raise ConfigError(
                f'the network runs T = {T} time steps, but the data has {len(x)} frames; '
                "make the data set's frames and the backbone's T agree"
            )
        return layer(x)
    y = layer.image(x)
    return y.unsqueeze(0).expand(T, *y.shape)
