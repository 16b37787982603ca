"""Parts that several spiking transformers use. Tokens are (T, B, C, N)."""

from collections.abc import Callable

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers.attention import spiking_attention
from a2sg_zoo.models.layers.time_folded import TimeFolded, conv_bn, token_bn
from a2sg_zoo.utils.packages import require


class SpikingPatchStage(nn.Module):
    """Patch embedding: s = pool(fire(BN(conv(x)))), from (T, B, C_in, H, W) to spikes (T, B, C_out, H', W').

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        neuron: layer of spiking neurons.
        pooled: whether a max pooling halves height and width; otherwise H' = H and W' = W.
    """

    def __init__(self, in_channels: int, out_channels: int, neuron: nn.Module, pooled: bool):
        super().__init__()
        self.project = conv_bn(in_channels, out_channels)
        self.neuron = neuron
        self.pool = TimeFolded(nn.MaxPool2d(3, 2, 1)) if pooled else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, C_in, H, W) to spikes (T, B, C_out, H', W')."""
        return self.fire(self.project(x))

    def fire(self, x: torch.Tensor) -> torch.Tensor:
        """Map the output of `project`, (T, B, C_out, H, W), to pooled spikes."""
        return self.pool(self.neuron(x))


class SpikingSelfAttention(nn.Module):
    """Spiking self-attention (SSA): tokens (T, B, C, N) to spikes of the same shape.

        Q = fire(BN(W_q x)), K and V alike,    y = fire(BN(W fire(scale * Q K^T V)))

    There is no softmax. The neuron after the product has a threshold of 0.5, as the published networks have.

    Args:
        dim: channels C.
        heads: number of attention heads; it divides C.
        make_neuron: returns a new layer of neurons; takes `v_threshold`.
        qkv_bias: whether the layers of Q, K and V have a bias.
        scale: factor on the product.

    Source: Zhou et al., Spikformer, ICLR 2023.
    """

    def __init__(
        self, dim: int, heads: int, make_neuron: Callable[..., nn.Module], qkv_bias: bool = False, scale: float = 0.125
    ):
        super().__init__()
        self.heads, self.scale = check_heads(dim, heads), scale
        self.q, self.k, self.v = (token_bn(dim, dim, qkv_bias) for _ in range(3))
        self.q_neuron, self.k_neuron, self.v_neuron = (make_neuron() for _ in range(3))
        # sums of attention are small, so the published networks halve the threshold there
        self.attn_neuron = make_neuron(v_threshold=0.5)
        self.proj = token_bn(dim, dim)
        self.proj_neuron = make_neuron()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map tokens x (T, B, C, N) to spikes (T, B, C, N)."""
        q, k, v = self.q_neuron(self.q(x)), self.k_neuron(self.k(x)), self.v_neuron(self.v(x))
        s = self.attn_neuron(spiking_attention(q, k, v, self.heads, self.scale))
        return self.proj_neuron(self.proj(s))


class SpikingMLP(nn.Module):
    """Two linear layers that fire after the norm: y = fire(BN(W2 fire(BN(W1 x)))).

    Args:
        dim: channels C of the tokens.
        hidden: channels between the two layers.
        make_neuron: returns a new layer of neurons.
        make_linear: returns a linear layer with its norm, from the numbers of its channels.
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        make_neuron: Callable[..., nn.Module],
        make_linear: Callable[[int, int], nn.Module] = token_bn,
    ):
        super().__init__()
        self.fc1, self.neuron1 = make_linear(dim, hidden), make_neuron()
        self.fc2, self.neuron2 = make_linear(hidden, dim), make_neuron()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map tokens x, (T, B, C, N) with `token_bn`, to spikes of the same shape."""
        return self.neuron2(self.fc2(self.neuron1(self.fc1(x))))


class MembraneMLP(nn.Module):
    """Two linear layers that are fed by spikes: y = BN(W2 fire(BN(W1 fire(x)))).

    Input and output are membrane potentials, so a shortcut around this layer carries potentials, not spikes.

    Args:
        dim: channels C.
        hidden: channels between the two layers.
        make_neuron: returns a new layer of neurons.
    """

    def __init__(self, dim: int, hidden: int, make_neuron: Callable[..., nn.Module]):
        super().__init__()
        self.neuron1, self.fc1 = make_neuron(), token_bn(dim, hidden)
        self.neuron2, self.fc2 = make_neuron(), token_bn(hidden, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x, tokens (T, B, C, N) or images (T, B, C, H, W), to the same shape."""
        y = self.fc2(self.neuron2(self.fc1(self.neuron1(x.flatten(3)))))
        return y.unflatten(3, x.shape[3:])


class TransformerBlock(nn.Module):
    """Residual block: x' = x + attn(x), then y = x' + mlp(x').

    Args:
        attn: attention layer, (T, B, C, ...) to the same shape.
        mlp: multilayer perceptron, (T, B, C, ...) to the same shape.

    Attributes:
        drop_path: rate of stochastic depth, see `stochastic_depth`; a backbone sets it.
    """

    drop_path = 0.0

    def __init__(self, attn: nn.Module, mlp: nn.Module):
        super().__init__()
        self.attn, self.mlp = attn, mlp

    @property
    def mixes_time(self) -> bool:
        """Whether the block drops samples at all time steps at once, see `time_chunks`."""
        return self.training and self.drop_path > 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, C, ...) to the same shape."""
        x = x + self.dropped(self.attn(x))
        return x + self.dropped(self.mlp(x))

    def dropped(self, y: torch.Tensor) -> torch.Tensor:
        """The output y (T, B, C, ...) of a branch, with stochastic depth during training."""
        return stochastic_depth(y, self.drop_path) if self.training and self.drop_path else y


def stochastic_depth(y: torch.Tensor, rate: float) -> torch.Tensor:
    """Set the output of a residual branch to 0 for some samples, at all of their time steps.

        y / (1 - rate) with probability 1 - rate, otherwise 0

    Args:
        y: output of the branch, (T, B, ...).
        rate: probability that a sample is dropped, from 0 to below 1.

    Source: Huang et al., ECCV 2016.

    Example:
        >>> import torch
        >>> y = stochastic_depth(torch.ones(2, 100, 3), 0.5)
        >>> sorted(y.unique().tolist()), y[0].equal(y[1])
        ([0.0, 2.0], True)
    """
    require('stochastic depth (drop_path)', 'torchvision')
    from torchvision import ops  # it takes a second to import

    return ops.stochastic_depth(y.transpose(0, 1), rate, 'row').transpose(0, 1)


def check_heads(dim: int, heads: int) -> int:
    """Return `heads`, the number of attention heads of a layer with `dim` channels.

    Raises:
        ConfigError: `heads` is below 1 or does not divide `dim`.
    """
    if heads < 1 or dim % heads:
        raise ConfigError(f'the channels of an attention layer, {dim}, must be divisible by its num_heads = {heads}')
    return heads
