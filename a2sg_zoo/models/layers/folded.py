"""Stateless layers over time: they see (T * B, ...), by a view."""

from collections import OrderedDict

from torch import nn

from a2sg_zoo.errors import ConfigError


class Folded(nn.Sequential):
    """Applies its children to all time steps at once: (T, B, ...) -> (T * B, ...) -> children -> (T, B, ...)."""

    def forward(self, x):
        return self.image(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def image(self, x):
        """Applies the children to a tensor without a time axis, (B, ...)."""
        return super().forward(x)


def conv_bn(in_channels, out_channels, kernel_size=3, stride=1, bias=False, groups=1):
    """Convolution ("same" padding) and batch norm over (T, B, C, H, W); children `conv` and `bn`."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=bias, groups=groups)
    return Folded(OrderedDict(conv=conv, bn=nn.BatchNorm2d(out_channels)))


def token_bn(in_channels, out_channels, bias=True):
    """A linear layer on each token and batch norm, over (T, B, C, N); children `conv` and `bn`."""
    return Folded(OrderedDict(conv=nn.Conv1d(in_channels, out_channels, 1, bias=bias), bn=nn.BatchNorm1d(out_channels)))


def encode(layer, x, T):
    """The first layer's output at every time step, (T, B, ...).

    A static image (B, C, H, W) is the same at every step, so the layer runs once and its output is repeated by a
    view; event frames (T, B, C, H, W) go through it step by step (folded).

    Args:
        layer: a `Folded`.
        x: images (B, C, H, W), or frames (T, B, C, H, W).
        T: number of time steps of the network.
    """
    conv = next(m for m in layer.modules() if isinstance(m, nn.Conv2d))
    if x.dim() not in (4, 5):
        raise ConfigError(f'input must be images (B, C, H, W) or frames (T, B, C, H, W), got shape {tuple(x.shape)}')
    if x.shape[-3] != conv.in_channels:
        raise ConfigError(
            f'the network takes {conv.in_channels} input channels, the data has {x.shape[-3]} '
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


def check_time_steps(T, owner):
    """T as given, or a ConfigError."""
    if isinstance(T, bool) or not isinstance(T, int) or T < 1:
        raise ConfigError(f'{type(owner).__name__}: T, the number of time steps, must be an integer >= 1, got {T!r}')
    return T
