"""Spikformer for sequences: every time step is a token (after Zhou et al., ICLR 2023)."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.backbones.sizes import count
from a2sg_zoo.models.layers import (
    SpikingMLP,
    TimeFolded,
    TransformerBlock,
    check_heads,
    check_sequence,
    linear_norm,
    spiking_attention,
)
from a2sg_zoo.registry import MODELS


class TemporalLayer(nn.Module):
    """Convolution over three time steps, batch norm and neuron: s = fire(BN(conv(x))), on sequences (T, B, F).

    Args:
        in_features: features of the input.
        out_features: features of the output.
        causal: whether the convolution sees the present and the two steps before, or one step on either side.
        neuron: layer of spiking neurons.
    """

    # an output depends on several time steps, see `time_chunks`
    mixes_time = True

    def __init__(self, in_features: int, out_features: int, causal: bool, neuron: nn.Module):
        super().__init__()
        self.padding = (2, 0) if causal else (1, 1)
        self.conv = nn.Conv1d(in_features, out_features, 3, bias=False)
        self.norm = TimeFolded(OrderedDict(bn=nn.BatchNorm1d(out_features)))
        self.neuron = neuron

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, F_in) to spikes (T, B, F_out)."""
        x = self.conv(F.pad(x.permute(1, 2, 0), self.padding)).permute(2, 0, 1)
        return self.neuron(self.norm(x))


def causal_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, scale: float, chunk: int = 64
) -> torch.Tensor:
    """Compute attention over the past without softmax: y[t] = scale * sum over t' <= t of (q[t] . k[t']) v[t'].

    Chunks of time steps are computed at once. What came before a chunk is in one d x d matrix for each head, so memory
    grows with T and not with its square.

    Args:
        q: queries, spikes (T, B, C).
        k: keys, of the same shape.
        v: values, of the same shape.
        heads: number of heads; C = heads * d.
        scale: factor on the result.
        chunk: number of time steps of a chunk; the result does not depend on it.

    Returns:
        (T, B, C).

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.backbones.sequence_spikformer import causal_attention
        >>> q, k, v = (torch.rand(3, 10, 2, 8) > 0.5).float()
        >>> causal_attention(q, k, v, heads=2, scale=0.125).shape
        torch.Size([10, 2, 8])
    """
    q, k, v = (x.unflatten(2, (heads, -1)).permute(1, 2, 0, 3).split(chunk, 2) for x in (q, k, v))
    past, parts = torch.zeros((), device=q[0].device, dtype=q[0].dtype), []
    for queries, keys, values in zip(q, k, v):
        inside = (queries @ keys.mT).tril() @ values
        parts.append(inside + queries @ past if past.dim() else inside)
        past = past + keys.mT @ values
    return (torch.cat(parts, 2) * scale).permute(2, 0, 1, 3).flatten(2)


class TemporalSelfAttention(nn.Module):
    """Spiking self-attention over time: sequences (T, B, C) to spikes of the same shape.

        Q = fire(BN(W_q x)), K and V alike,    y = fire(BN(W fire(scale * attention(Q, K, V))))

    There is no softmax, and the neuron after the product has a threshold of 0.5, as in Spikformer.

    Args:
        dim: channels C.
        heads: number of attention heads; it divides C.
        make_neuron: returns a new layer of neurons; takes `v_threshold`.
        causal: whether a time step sees itself and the past alone, or the whole sequence.
        scale: factor on the product.
    """

    # an output depends on several time steps, see `time_chunks`
    mixes_time = True

    def __init__(self, dim: int, heads: int, make_neuron: Callable[..., nn.Module], causal: bool, scale: float = 0.125):
        super().__init__()
        self.heads, self.scale, self.causal = check_heads(dim, heads), scale, causal
        self.q, self.k, self.v = (linear_norm(dim, dim) for _ in range(3))
        self.q_neuron, self.k_neuron, self.v_neuron = (make_neuron() for _ in range(3))
        self.attn_neuron = make_neuron(v_threshold=0.5)
        self.proj = linear_norm(dim, dim)
        self.proj_neuron = make_neuron()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, C) to spikes (T, B, C)."""
        q, k, v = self.q_neuron(self.q(x)), self.k_neuron(self.k(x)), self.v_neuron(self.v(x))
        if self.causal:
            y = causal_attention(q, k, v, self.heads, self.scale)
        else:
            q, k, v = (x.permute(1, 2, 0).unsqueeze(0) for x in (q, k, v))
            y = spiking_attention(q, k, v, self.heads, self.scale).squeeze(0).permute(2, 0, 1)
        return self.proj_neuron(self.proj(self.attn_neuron(y)))


@MODELS.register_module()
class SequenceSpikformer(SpikingBackbone):
    """Spikformer on sequences (T, B, F): every time step is a token, and attention goes over time.

    It is a form of this project: the published Spikformer attends over the pixels of one time step. Two layers embed
    the features of three neighbouring time steps. A third one, added to its own input, tells the blocks where a token
    lies. Then `depth` blocks follow, of attention without softmax on binary Q, K and V, and of a multilayer perceptron.
    Shortcuts add spikes to spikes.

    With causal=True no output depends on later time steps, so fewer time steps give the same first outputs. With
    causal=False the attention and the embedding see the whole sequence; then T must be that of the training.

    Three outputs can be returned (`out_indices`): the two layers of the embedding, with embed_dims / 2 and embed_dims
    channels, and the last block.

    Args:
        in_features: features F of a time step of the data.
        embed_dims: channels C of the blocks; an even number.
        depth: number of blocks.
        num_heads: number of attention heads.
        mlp_ratio: hidden channels of the multilayer perceptron, as a multiple of embed_dims.
        causal: whether a time step sees itself and the past alone.
        neuron: config of the neurons; the default is that of Spikformer.
        **kwargs: T, out_indices, time, recompute, save_spikes, drop_path and init_cfg, see `SpikingBackbone`.

    Source: after Zhou et al., ICLR 2023.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.backbones import SequenceSpikformer
        >>> backbone = SequenceSpikformer(in_features=10, embed_dims=32, depth=1, num_heads=4, T=20, time='keep')
        >>> backbone(torch.rand(20, 3, 10))[0].shape  # (T, B, C)
        torch.Size([20, 3, 32])
    """

    def __init__(
        self,
        in_features: int,
        embed_dims: int = 128,
        depth: int = 2,
        num_heads: int = 8,
        mlp_ratio: float = 4,
        causal: bool = True,
        neuron: dict = dict(type='LIF', tau=2.0, surrogate=dict(type='Sigmoid', alpha=4.0)),
        **kwargs: Any,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if embed_dims % 2:
            raise ConfigError(f'SequenceSpikformer: embed_dims must be even, got {embed_dims}')
        self.in_features = in_features
        self.stages = nn.ModuleList(
            TemporalLayer(f_in, f_out, causal, self.neuron())
            for f_in, f_out in ((in_features, embed_dims // 2), (embed_dims // 2, embed_dims))
        )
        self.position = TemporalLayer(embed_dims, embed_dims, causal, self.neuron())
        self.blocks = nn.ModuleList(
            TransformerBlock(
                TemporalSelfAttention(embed_dims, num_heads, self.neuron, causal),
                SpikingMLP(embed_dims, int(embed_dims * mlp_ratio), self.neuron, linear_norm),
            )
            for _ in range(depth)
        )
        self.tap([embed_dims // 2, embed_dims, embed_dims])

    @staticmethod
    def sizes_of(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return the arguments that follow from the names and shapes of `weights`; not num_heads and not causal."""
        embed_dims = len(weights['position.norm.bn.weight'])
        return dict(
            in_features=weights['stages.0.conv.weight'].shape[1],
            embed_dims=embed_dims,
            depth=count(weights, 'blocks'),
            mlp_ratio=len(weights['blocks.0.mlp.fc1.norm.weight']) / embed_dims,
        )

    def forward_stages(self, x: torch.Tensor, T: int) -> Iterator[torch.Tensor]:
        """Yield the output (T, B, C) of both layers of the embedding and of the last block."""
        x = check_sequence(x, self.in_features, T)
        for stage in self.stages:
            x = self.run([stage], x)
            yield x
        x = x + self.position(x)
        yield self.run(self.blocks, x)
