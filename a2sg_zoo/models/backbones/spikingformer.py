"""Spikingformer (Zhou et al., 2023): Spikformer with the neurons before the convolutions."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.backbones.sizes import count
from a2sg_zoo.models.layers import (
    MembraneMLP,
    TimeFolded,
    TransformerBlock,
    check_heads,
    conv_bn,
    encode,
    spiking_attention,
    token_bn,
)
from a2sg_zoo.registry import MODELS

POOLED = dict(cifar=(False, False, True, True), imagenet=(True, True, True, True))


class TokenizerStage(nn.Module):
    """Stage of the tokenizer: u = BN(conv(pool(fire(x)))), on membrane potentials (T, B, C, H, W).

    Args:
        in_channels: channels of x.
        out_channels: channels of u.
        neuron: layer of neurons.
        pooled: whether a max pooling halves height and width.
    """

    def __init__(self, in_channels: int, out_channels: int, neuron: nn.Module, pooled: bool):
        super().__init__()
        self.neuron = neuron
        self.pool = TimeFolded(nn.MaxPool2d(3, 2, 1)) if pooled else nn.Identity()
        self.project = conv_bn(in_channels, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map potentials x (T, B, C_in, H, W) to potentials (T, B, C_out, H', W')."""
        return self.project(self.pool(self.neuron(x)))


class MembraneSelfAttention(nn.Module):
    """Spiking self-attention on membrane potentials, from tokens (T, B, C, N) to the same shape.

        s = fire(x),    Q = fire(BN(W_q s)), K and V alike,    y = BN(W fire(scale * Q K^T V))

    Args:
        dim: channels C.
        heads: number of attention heads; it divides C.
        make_neuron: returns a new layer of neurons; takes `v_threshold`.
        scale: factor on the product.
    """

    def __init__(self, dim: int, heads: int, make_neuron: Callable[..., nn.Module], scale: float = 0.125):
        super().__init__()
        self.heads, self.scale = check_heads(dim, heads), scale
        self.neuron = make_neuron()
        self.q, self.k, self.v = (token_bn(dim, dim, bias=False) for _ in range(3))
        self.q_neuron, self.k_neuron, self.v_neuron = (make_neuron() for _ in range(3))
        self.attn_neuron = make_neuron(v_threshold=0.5)
        self.proj = token_bn(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map tokens x (T, B, C, N) to the same shape."""
        s = self.neuron(x)
        q, k, v = self.q_neuron(self.q(s)), self.k_neuron(self.k(s)), self.v_neuron(self.v(s))
        return self.proj(self.attn_neuron(spiking_attention(q, k, v, self.heads, self.scale)))


@MODELS.register_module()
class Spikingformer(SpikingBackbone):
    """Spikingformer: Spikformer rearranged so that binary spikes enter every convolution but the first.

    In Spikformer a shortcut adds spikes to spikes, and the next convolution sees their sums. Here the neurons stand
    before the convolutions, and shortcuts add membrane potentials. The tokenizer is a 3x3 convolution (the stem) and
    four stages of neuron, max pooling (in some of them), convolution and batch norm. Then every pixel is a token, and
    `depth` blocks add a spiking self-attention and a multilayer perceptron. Images of any size can be used.

    Four outputs can be returned (`out_indices`): the first three stages of the tokenizer, with embed_dims / 4, / 2,
    / 1 channels, and the last block, with embed_dims channels. Their strides are 1, 1, 2, 4 in the CIFAR form and
    2, 4, 8, 16 in the ImageNet form. Outputs are membrane potentials, not spikes.

    Args:
        embed_dims: channels C of the blocks; a multiple of 8. Spikingformer-L-C has depth L and embed_dims C.
        depth: number of blocks.
        num_heads: number of attention heads.
        mlp_ratio: hidden channels of the multilayer perceptron, as a multiple of embed_dims.
        form: 'cifar' or 'imagenet', which decides the stages that pool. The published network for event cameras is
            form 'imagenet' with depth 2, embed_dims 256, 16 heads, in_channels 2 and neurons of tau 1.5.
        in_channels: channels of the input.
        neuron: config of the neurons; the default is that of the reference implementation.
        **kwargs: T, out_indices, time, recompute, save_spikes and init_cfg, see `SpikingBackbone`.

    Source: Zhou et al., 2023 (arXiv 2304.11954). Reference implementation:
    github.com/zhouchenlin2096/Spikingformer.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.backbones import Spikingformer
        >>> backbone = Spikingformer(embed_dims=32, depth=1, num_heads=4, form='cifar', T=2)
        >>> backbone(torch.rand(3, 3, 32, 32))[0].shape
        torch.Size([3, 32, 8, 8])
    """

    official_names = [
        (r'^head\.', None),
        (r'\.norm[12]\.', None),  # layer norms that the published blocks define and never call
        # the two published forms use different names for the layers of the tokenizer
        (r'^patch_embed\.(?:block0|proj)_(conv|bn)\.', r'stem.\1.'),
        *((rf'^patch_embed\.(?:block|proj){i + 1}_(conv|bn)\.', rf'stages.{i}.project.\1.') for i in range(4)),
        (r'^block\.', 'blocks.'),
        (r'\.(q|k|v|proj)_(conv|bn)\.', r'.\1.\2.'),
        (r'\.mlp(\d)_(conv|bn)\.', r'.fc\1.\2.'),
    ]

    def __init__(
        self,
        embed_dims: int = 384,
        depth: int = 8,
        num_heads: int = 12,
        mlp_ratio: float = 4,
        form: str = 'imagenet',
        in_channels: int = 3,
        neuron: dict = dict(type='LIF', tau=2.0, surrogate=dict(type='Sigmoid', alpha=4.0)),
        **kwargs: Any,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if form not in POOLED:
            raise ConfigError(f'Spikingformer: form must be one of {sorted(POOLED)}, got {form!r}')
        if embed_dims % 8:
            raise ConfigError(f'Spikingformer: embed_dims must be divisible by 8, got {embed_dims}')
        widths = [embed_dims // 4, embed_dims // 2, embed_dims, embed_dims]
        self.stem = conv_bn(in_channels, embed_dims // 8)
        self.stages = nn.ModuleList(
            TokenizerStage(c_in, c_out, self.neuron(), pooled)
            for c_in, c_out, pooled in zip([embed_dims // 8, *widths], widths, POOLED[form])
        )
        self.blocks = nn.ModuleList(
            TransformerBlock(
                MembraneSelfAttention(embed_dims, num_heads, self.neuron),
                MembraneMLP(embed_dims, int(embed_dims * mlp_ratio), self.neuron),
            )
            for _ in range(depth)
        )
        self.tap(widths)

    @classmethod
    def reshape_official(cls, name: str, value: torch.Tensor) -> torch.Tensor:
        """Return a published weight in the shape that it has here."""
        # the published 1x1 convolutions on (C, H, W) are convolutions of kernel size 1 on (C, N) here
        return value.reshape(*value.shape[:2], 1) if '.mlp.' in name and name.endswith('.conv.weight') else value

    @staticmethod
    def sizes_of(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return the constructor's arguments that follow from the shapes of `weights`; not num_heads nor form."""
        embed_dims = len(weights['stages.3.project.bn.weight'])
        return dict(
            embed_dims=embed_dims,
            depth=count(weights, 'blocks'),
            in_channels=weights['stem.conv.weight'].shape[1],
            mlp_ratio=len(weights['blocks.0.mlp.fc1.bn.weight']) / embed_dims,
        )

    def forward_stages(self, x: torch.Tensor, T: int) -> Iterator[torch.Tensor]:
        """Yield the output (T, B, C, H, W) of three stages of the tokenizer and of the last block."""
        x = encode(self.stem, x, T)
        for stage in self.stages[:3]:
            x = self.run([stage], x)
            yield x
        x = self.run(self.stages[3:], x)
        size = x.shape[-2:]
        x = x.flatten(3)
        yield self.run(self.blocks, x).unflatten(3, size)
