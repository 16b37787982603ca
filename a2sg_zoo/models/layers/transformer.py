"""Parts of spiking transformers that families share. Tokens are (T, B, C, N)."""

from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers.attention import spiking_attention
from a2sg_zoo.models.layers.folded import Folded, conv_bn, token_bn


class SpikingPatchStage(nn.Module):
    """Convolution, batch norm, neuron, and (if pooled) max pooling by 2. (T, B, C, H, W) to spikes."""

    def __init__(self, in_channels, out_channels, neuron, pooled):
        super().__init__()
        self.project = conv_bn(in_channels, out_channels)
        self.neuron = neuron
        self.pool = Folded(nn.MaxPool2d(3, 2, 1)) if pooled else nn.Identity()

    def forward(self, x):
        return self.fire(self.project(x))

    def fire(self, x):
        return self.pool(self.neuron(x))


class SpikingSelfAttention(nn.Module):
    """SSA: Q, K, V are spikes, their product is scaled and fires again; no softmax. Tokens to spikes.

    Source: Zhou et al., Spikformer, ICLR 2023.
    """

    def __init__(self, dim, heads, make_neuron, qkv_bias=False, scale=0.125):
        super().__init__()
        self.heads, self.scale = check_heads(dim, heads), scale
        self.q, self.k, self.v = (token_bn(dim, dim, qkv_bias) for _ in range(3))
        self.q_neuron, self.k_neuron, self.v_neuron = (make_neuron() for _ in range(3))
        # attention sums are small: the published networks halve the threshold there
        self.attn_neuron = make_neuron(v_threshold=0.5)
        self.proj = token_bn(dim, dim)
        self.proj_neuron = make_neuron()

    def forward(self, x):
        q, k, v = self.q_neuron(self.q(x)), self.k_neuron(self.k(x)), self.v_neuron(self.v(x))
        s = self.attn_neuron(spiking_attention(q, k, v, self.heads, self.scale))
        return self.proj_neuron(self.proj(s))


class SpikingMLP(nn.Module):
    """Linear layer, batch norm and neuron, twice. Tokens to spikes."""

    def __init__(self, dim, hidden, make_neuron):
        super().__init__()
        self.fc1, self.neuron1 = token_bn(dim, hidden), make_neuron()
        self.fc2, self.neuron2 = token_bn(hidden, dim), make_neuron()

    def forward(self, x):
        return self.neuron2(self.fc2(self.neuron1(self.fc1(x))))


class MembraneMLP(nn.Module):
    """Neuron, linear layer and batch norm, twice. Membrane potentials (T, B, C, ...) to the same."""

    def __init__(self, dim, hidden, make_neuron):
        super().__init__()
        self.neuron1, self.fc1 = make_neuron(), token_bn(dim, hidden)
        self.neuron2, self.fc2 = make_neuron(), token_bn(hidden, dim)

    def forward(self, x):
        y = self.fc2(self.neuron2(self.fc1(self.neuron1(x.flatten(3)))))
        return y.unflatten(3, x.shape[3:])


class TransformerBlock(nn.Module):
    """x + attn(x), then x + mlp(x)."""

    def __init__(self, attn, mlp):
        super().__init__()
        self.attn, self.mlp = attn, mlp

    def forward(self, x):
        x = x + self.attn(x)
        return x + self.mlp(x)


def check_heads(dim, heads):
    """heads as given, or a ConfigError."""
    if heads < 1 or dim % heads:
        raise ConfigError(f'the width of an attention layer, {dim}, must be divisible by its num_heads = {heads}')
    return heads
