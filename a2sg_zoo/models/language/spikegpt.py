"""SpikeGPT's idea: a causal spiking network over text. The positions of the text are the time steps of its neurons."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.layers import check_heads
from a2sg_zoo.neurons.parallel import PSN
from a2sg_zoo.registry import MODELS
from a2sg_zoo.utils.checks import integer, positive


class Carry(NamedTuple):
    """The states of the layers of a network between two pieces of one text.

    Attributes:
        before: {layer: its state after the piece before}; empty at the start of a text.
        after: {layer: its state after this piece}, filled by the layers.
    """

    before: dict[nn.Module, Any]
    after: dict[nn.Module, Any]


def apply(layer: nn.Module, x: Tensor, carry: Carry | None) -> Tensor:
    """Run a layer that has a state: on a whole text, or on a piece of it if there is a carry.

    Args:
        layer: module with `forward(x)` and `advance(x, state) -> (y, state)`.
        x: input (T, B, C).
        carry: states of the layers; None for a text of one piece.
    """
    if carry is None:  # the call runs the hooks of the module, by which spikes are counted
        return layer(x)
    y, carry.after[layer] = layer.advance(x, carry.before.get(layer))  # type: ignore[operator]
    return y


class TokenShift(nn.Module):
    """Mix each position with the one before it: y[t] = m x[t] + (1 - m) x[t-1], with one m for each channel.

    x[0] is 0. The mix m = sigmoid(w) is learned and starts between 0.5 and 1.

    Args:
        dim: channels C.

    Source: Peng et al., RWKV, EMNLP 2023, where the layer stands before the linear layers. Here it stands behind them,
    so that the linear layers multiply spikes.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.linspace(0.0, 4.0, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (T, B, C) to the same shape."""
        return self.advance(x)[0]

    def advance(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return y (T, B, C) and the last position of x, which is the state (B, C)."""
        first = torch.zeros_like(x[:1]) if state is None else state[None]
        return torch.lerp(torch.cat([first, x[:-1]]), x, self.w.sigmoid().to(x.dtype)), x[-1]


class DecayedAttention(nn.Module):
    """Causal spiking attention without softmax; a position counts less, the longer ago it is.

        y[t] = sum over s <= t of gamma^(t - s) (q[t] . k[s]) v[s]

    in each head, with a learned decay gamma = sigmoid(w). This is the linear recurrence

        S[t] = gamma S[t-1] + k[t] v[t]^T,    y[t] = q[t]^T S[t]

    with a matrix S of d x d numbers a head as its state. `forward` computes all positions at once. No power of gamma
    exceeds 1, so nothing overflows, however long the text is. `advance` continues from a state.

    Args:
        dim: channels C of each of q, k and v.
        heads: number of heads; C = heads * d. At the start, 1 / (1 - gamma) is 2, 4, 8, ... positions for them.

    Source: the decay and the two forms are those of Sun et al., RetNet, 2023 (arXiv 2307.08621); attention on spikes
    without softmax is that of Zhou et al., Spikformer, ICLR 2023.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = check_heads(dim, heads)
        memory = 2.0 ** torch.arange(1, heads + 1).clamp(max=12)
        self.w = nn.Parameter(torch.log(memory - 1))

    def forward(self, qkv: Tensor) -> Tensor:
        """Map queries, keys and values side by side, (T, B, 3 C), to (T, B, C)."""
        return self.advance(qkv)[0]

    def advance(self, qkv: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return y (T, B, C) and the state S (B, heads, d, d) after the last position."""
        T, B, _ = qkv.shape
        q, k, v = qkv.view(T, B, 3, self.heads, -1).permute(2, 1, 3, 0, 4)  # (B, heads, T, d) each
        # positions and powers of gamma in float32 at least: bfloat16 has no whole numbers beyond 256 in a row
        exact = torch.promote_types(self.w.dtype, torch.float32)
        t = torch.arange(T, device=qkv.device, dtype=exact)
        rate = F.logsigmoid(self.w.to(exact))[:, None, None]
        age = t[:, None] - t
        decay = torch.exp(age.clamp(min=0) * rate).tril().to(qkv.dtype)  # (heads, T, T)
        y = (q @ k.transpose(-1, -2) * decay) @ v
        following = (k * torch.exp((T - 1 - t)[:, None] * rate).to(qkv.dtype)).transpose(-1, -2) @ v
        if state is not None:
            y = y + (q * torch.exp((t + 1)[:, None] * rate).to(qkv.dtype)) @ state
            following = following + torch.exp(T * rate).to(qkv.dtype) * state
        return y.permute(2, 0, 1, 3).flatten(2), following


class TimeMixing(nn.Module):
    """Spiking attention over the positions before: y = W fire(LN(attention(fire(LN(shift(W_qkv fire(LN(x)))))))).

    Args:
        dim: channels C.
        heads: number of attention heads.
        make_neuron: returns a new layer of neurons.
    """

    def __init__(self, dim: int, heads: int, make_neuron: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.norm, self.neuron = nn.LayerNorm(dim), make_neuron()
        self.qkv, self.shift = nn.Linear(dim, 3 * dim, bias=False), TokenShift(3 * dim)
        self.qkv_norm, self.qkv_neuron = nn.LayerNorm(3 * dim), make_neuron()
        self.attention = DecayedAttention(dim, heads)
        self.attention_norm, self.attention_neuron = nn.LayerNorm(dim), make_neuron()
        self.proj = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:
        """Map membrane potentials x (T, B, C) to the same shape."""
        s = apply(self.neuron, self.norm(x), carry)
        s = apply(self.qkv_neuron, self.qkv_norm(apply(self.shift, self.qkv(s), carry)), carry)
        y = self.attention_norm(apply(self.attention, s, carry))
        return self.proj(apply(self.attention_neuron, y, carry))


class ChannelMixing(nn.Module):
    """Spiking multilayer perceptron at each position: y = W2 fire(LN(shift(W1 fire(LN(x))))).

    Args:
        dim: channels C.
        hidden: channels between the two linear layers.
        make_neuron: returns a new layer of neurons.
    """

    def __init__(self, dim: int, hidden: int, make_neuron: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.norm, self.neuron = nn.LayerNorm(dim), make_neuron()
        self.fc1, self.shift = nn.Linear(dim, hidden, bias=False), TokenShift(hidden)
        self.hidden_norm, self.hidden_neuron = nn.LayerNorm(hidden), make_neuron()
        self.fc2 = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:
        """Map membrane potentials x (T, B, C) to the same shape."""
        s = apply(self.neuron, self.norm(x), carry)
        s = apply(self.hidden_neuron, self.hidden_norm(apply(self.shift, self.fc1(s), carry)), carry)
        return self.fc2(s)


class SpikeGPTBlock(nn.Module):
    """Time mixing, then channel mixing, each added to its input: x + mixing(x).

    The sums are membrane potentials; the matrices of both parts multiply spikes alone.

    Args:
        dim: channels C.
        heads: number of attention heads.
        hidden: channels between the linear layers of the channel mixing.
        make_neuron: returns a new layer of neurons.
    """

    def __init__(self, dim: int, heads: int, hidden: int, make_neuron: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.time, self.channels = TimeMixing(dim, heads, make_neuron), ChannelMixing(dim, hidden, make_neuron)

    def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:
        """Map membrane potentials x (T, B, C) to the same shape."""
        x = x + self.time(x, carry)
        return x + self.channels(x, carry)


@MODELS.register_module()
class SpikeGPT(SpikingBackbone):
    """A causal spiking language model after SpikeGPT: the positions of a text are the time steps of the neurons.

    A symbol becomes a vector of C currents (a learned table), and `depth` blocks follow. Each block mixes over time
    (`TimeMixing`) and over channels (`ChannelMixing`). The output at position t depends on the symbols up to t alone.

    What is taken from SpikeGPT: the sequence as the time axis, blocks of time mixing and channel mixing in the way of
    RWKV with binary activations, a state of fixed size in generation. What differs: the time mixing is attention on
    spikes with a decay for each head, in place of RWKV's exponentials; the linear layers take spikes alone.

    Args:
        embed_dims: channels C.
        depth: number of blocks.
        num_heads: number of attention heads.
        mlp_ratio: hidden channels of the channel mixing, as a multiple of embed_dims.
        vocabulary: number of symbols; 256 for bytes.
        T: number of positions of a training sequence. Every position has its own width of the surrogate's window.
        neuron: config of the neurons; any but PSN and MaskedPSN, which compute all time steps at once.
        **kwargs: out_indices, recompute, save_spikes and init_cfg, see `SpikingBackbone`. The outputs are those of the
            blocks.

    Raises:
        ConfigError: an argument has a value that it cannot have.

    Source: Zhu et al., SpikeGPT, 2023 (arXiv 2302.13939).

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.language import SpikeGPT
        >>> backbone = SpikeGPT(embed_dims=32, depth=1, num_heads=2, T=16).eval()
        >>> text = torch.randint(256, (16, 3))  # 16 positions of 3 texts
        >>> y = backbone(text)[0]
        >>> y.shape
        torch.Size([16, 3, 32])
        >>> first, state = backbone.advance(text[:9])
        >>> last, state = backbone.advance(text[9:], state)
        >>> torch.allclose(torch.cat([first, last]), y, atol=1e-4)
        True
    """

    def __init__(
        self,
        embed_dims: int = 128,
        depth: int = 3,
        num_heads: int = 8,
        mlp_ratio: float = 4,
        vocabulary: int = 256,
        T: int = 128,
        neuron: dict = dict(type='LIF', tau=2.0, decay_input=False),
        **kwargs: Any,
    ):
        super().__init__(T=T, neuron=neuron, time='keep', **kwargs)
        depth, vocabulary = integer('depth', depth, self), integer('vocabulary', vocabulary, self)
        hidden = int(integer('embed_dims', embed_dims, self) * positive('mlp_ratio', mlp_ratio, self))
        self.embedding = nn.Embedding(vocabulary, embed_dims)
        self.blocks = nn.ModuleList(SpikeGPTBlock(embed_dims, num_heads, hidden, self.neuron) for _ in range(depth))
        self.tap([embed_dims] * depth)
        kinds = {type(neuron).__name__ for neuron in self.modules() if isinstance(neuron, PSN)}
        if kinds:
            raise ConfigError(
                f'SpikeGPT: neuron.type = {kinds.pop()!r} computes all time steps at once, so it may see later '
                "symbols, and cannot write a text; use 'SlidingPSN', or another neuron"
            )

    def forward_stages(self, x: Tensor, T: int) -> Iterator[Tensor]:
        """Yield the output (T, B, C) of each block for symbols x (T, B), integers."""
        y = self.embedding(x)
        for block in self.blocks:
            y = self.run([block], y)
            yield y

    def advance(self, x: Tensor, state: dict[nn.Module, Any] | None = None) -> tuple[Tensor, dict[nn.Module, Any]]:
        """Read the next symbols of a text.

        Args:
            x: symbols (T, B), integers; T may be 1.
            state: None at the start of a text, else what the call before returned.

        Returns:
            (output (T, B, C) of the last block, state for the next call). The state has a fixed size.
        """
        carry = Carry(state or {}, {})
        y = self.embedding(x)
        for block in self.blocks:
            y = block(y, carry)
        return y, carry.after
