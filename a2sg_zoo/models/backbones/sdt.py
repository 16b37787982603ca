"""Spike-driven Transformer, the first version (Yao et al., NeurIPS 2023): attention by masks and additions only."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.backbones.sizes import count
from a2sg_zoo.models.layers import (
    MembraneMLP,
    SpikingPatchStage,
    TransformerBlock,
    check_heads,
    conv_bn,
    encode,
    token_bn,
)
from a2sg_zoo.registry import MODELS


class MaskAttention(nn.Module):
    """Spike-driven self-attention (SDSA), from tokens (T, B, C, N) of membrane potentials to the same shape.

        s = fire(x),    q = fire(BN(W_q s)), k and v alike,    y = BN(W (q * fire(sum over tokens of k * v)))

    All products are element by element, so the cost is linear in N and in C. The sum is taken for each channel: a
    channel in which keys and values often spike together lets its queries pass. Heads, which the published code has as
    an argument, make no difference, because the sum never mixes channels.

    Args:
        dim: channels C.
        make_neuron: returns a new layer of neurons; takes `v_threshold`.
    """

    def __init__(self, dim: int, make_neuron: Callable[..., nn.Module]):
        super().__init__()
        self.neuron = make_neuron()
        self.q, self.k, self.v = (token_bn(dim, dim, bias=False) for _ in range(3))
        self.q_neuron, self.k_neuron, self.v_neuron = (make_neuron() for _ in range(3))
        self.mask_neuron = make_neuron(v_threshold=0.5)
        self.proj = token_bn(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map tokens x (T, B, C, N) to the same shape."""
        s = self.neuron(x)
        q, k, v = self.q_neuron(self.q(s)), self.k_neuron(self.k(s)), self.v_neuron(self.v(s))
        return self.proj(q * self.mask_neuron((k * v).sum(3, keepdim=True)))


class PooledMaskAttention(MaskAttention):
    """`MaskAttention` with max poolings of 3x3 and stride 1, as the published network has it for CIFAR10-DVS.

    Keys and values are pooled over neighbouring pixels. The products k * v, and q * fire(sum), are pooled over
    neighbouring tokens and neighbouring channels of a head, because the published pooling acts on the last two axes of
    (T, B, heads, N, C / heads).

    Args:
        dim: channels C.
        heads: number of heads; it divides C.
        make_neuron: returns a new layer of neurons; takes `v_threshold`.
    """

    def __init__(self, dim: int, heads: int, make_neuron: Callable[..., nn.Module]):
        super().__init__(dim, make_neuron)
        self.heads = check_heads(dim, heads)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images x (T, B, C, H, W) to the same shape."""
        s, size = self.neuron(x.flatten(3)), x.shape[3:]
        q = self.q_neuron(self.q(s))
        k, v = (
            _pooled(neuron(layer(s)).unflatten(3, size).flatten(0, 1)).flatten(2).unflatten(0, x.shape[:2])
            for layer, neuron in ((self.k, self.k_neuron), (self.v, self.v_neuron))
        )
        mask = self.mask_neuron(self._pooled_in_heads(k * v).sum(3, keepdim=True))
        return self.proj(self._pooled_in_heads(q * mask)).unflatten(3, size)

    def _pooled_in_heads(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens (T, B, C, N), pooled over tokens and the channels of a head."""
        # Spikes are often equal, and a pooling passes the gradient to the first of equals: the order of the axes counts
        y = x.flatten(0, 1).unflatten(1, (self.heads, -1)).transpose(2, 3)
        return _pooled(y).transpose(2, 3).flatten(1, 2).unflatten(0, x.shape[:2])


def _pooled(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(x, 3, 1, 1)


@MODELS.register_module()
class SpikeDrivenTransformer(SpikingBackbone):
    """Spike-driven Transformer, the first version: an attention of masks and additions, without matrix products.

    The patch embedding is four stages of 3x3 convolution, batch norm and neuron; some of them halve height and width.
    The last stage pools before it fires, and a convolution beside it, on its spikes, tells the blocks where a token
    lies. Then every pixel is a token, and `depth` blocks add a `MaskAttention` and a multilayer perceptron. Neurons
    stand before the layers, and shortcuts carry membrane potentials. Images of any size can be used. The second version
    of this network is `MetaSpikeFormer`, the third is `ESpikeFormer`.

    Four outputs can be returned (`out_indices`): the first three stages of the patch embedding, which are spikes with
    embed_dims / 8, / 4, / 2 channels, and the last block, which is membrane potentials with embed_dims channels. Their
    strides are 2, 4, 8, 16 if all stages pool.

    Args:
        embed_dims: channels C of the blocks; a multiple of 8. The published network L-C has depth L and embed_dims C.
        depth: number of blocks.
        mlp_ratio: hidden channels of the multilayer perceptron, as a multiple of embed_dims. (With a ratio of 1 the
            published perceptron has one more shortcut; this one does not.)
        pooling: four digits, 1 for each stage of the patch embedding that halves height and width, as the published
            code writes it: '1111' for ImageNet, '0111' for DVS128 Gesture, '0011' for CIFAR and CIFAR10-DVS.
        pooled_attention: whether the attention pools too (`PooledMaskAttention`), as the published network for
            CIFAR10-DVS does. No weight tells it, so it must be set for such a checkpoint.
        num_heads: number of heads of `PooledMaskAttention`; other attention is the same with any number.
        in_channels: channels of the input.
        neuron: config of the neurons; the default is that of the reference implementation.
        **kwargs: T, out_indices, time, recompute, save_spikes and init_cfg, see `SpikingBackbone`.

    Source: Yao et al., NeurIPS 2023. Reference implementation: github.com/BICLab/Spike-Driven-Transformer.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.backbones import SpikeDrivenTransformer
        >>> backbone = SpikeDrivenTransformer(embed_dims=32, depth=1, pooling='0011', T=2)
        >>> backbone(torch.rand(3, 3, 32, 32))[0].shape
        torch.Size([3, 32, 8, 8])
    """

    official_names = [
        (r'^head\.', None),
        (r'\.talking_heads\.', None),  # the published attention defines this convolution and never calls it
        (r'^patch_embed\.rpe_(conv|bn)\.', r'position.\1.'),
        (r'^patch_embed\.proj_(conv|bn)\.', r'stages.0.project.\1.'),
        (r'^patch_embed\.proj_(conv|bn)([12])\.', r'stages.\2.project.\1.'),
        (r'^patch_embed\.proj_(conv|bn)3\.', r'last_stage.\1.'),
        (r'^block\.', 'blocks.'),
        (r'\.(q|k|v|proj|fc1|fc2)_(conv|bn)\.', r'.\1.\2.'),
    ]

    def __init__(
        self,
        embed_dims: int = 512,
        depth: int = 8,
        mlp_ratio: float = 4,
        pooling: str = '1111',
        pooled_attention: bool = False,
        num_heads: int = 8,
        in_channels: int = 3,
        neuron: dict = dict(type='LIF', tau=2.0, surrogate=dict(type='Sigmoid', alpha=4.0)),
        **kwargs: Any,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if embed_dims % 8:
            raise ConfigError(f'SpikeDrivenTransformer: embed_dims must be divisible by 8, got {embed_dims}')
        if len(pooling) != 4 or set(pooling) - set('01'):
            raise ConfigError(
                f"SpikeDrivenTransformer: pooling must be four digits 0 or 1, like '0011', got {pooling!r}"
            )
        pooled, self.pooled_attention = [flag == '1' for flag in pooling], pooled_attention
        widths = [embed_dims // 8, embed_dims // 4, embed_dims // 2, embed_dims]
        self.stages = nn.ModuleList(
            SpikingPatchStage(c_in, c_out, self.neuron(), pools)
            for c_in, c_out, pools in zip([in_channels, *widths], widths[:3], pooled)
        )
        # this stage pools before it fires, so the shortcut around `position` carries membrane potentials
        self.last_stage = conv_bn(widths[2], embed_dims)
        if pooled[3]:
            self.last_stage.add_module('pool', nn.MaxPool2d(3, 2, 1))
        self.position_neuron, self.position = self.neuron(), conv_bn(embed_dims, embed_dims)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                PooledMaskAttention(embed_dims, num_heads, self.neuron)
                if pooled_attention
                else MaskAttention(embed_dims, self.neuron),
                MembraneMLP(embed_dims, int(embed_dims * mlp_ratio), self.neuron),
            )
            for _ in range(depth)
        )
        self.tap(widths)

    @classmethod
    def reshape_official(cls, name: str, value: torch.Tensor) -> torch.Tensor:
        """Return a published weight in the shape that it has here."""
        # the published 1x1 convolutions on (C, H, W) are convolutions of kernel size 1 on (C, N) here
        return (
            value.reshape(*value.shape[:2], 1)
            if name.startswith('blocks.') and name.endswith('.conv.weight')
            else value
        )

    @staticmethod
    def sizes_of(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return the constructor's arguments that follow from the names and shapes of `weights`; not the poolings."""
        embed_dims = len(weights['position.bn.weight'])
        return dict(
            embed_dims=embed_dims,
            depth=count(weights, 'blocks'),
            in_channels=weights['stages.0.project.conv.weight'].shape[1],
            mlp_ratio=len(weights['blocks.0.mlp.fc1.bn.weight']) / embed_dims,
        )

    def forward_stages(self, x: torch.Tensor, T: int) -> Iterator[torch.Tensor]:
        """Yield the output (T, B, C, H, W) of three stages of the patch embedding and of the last block."""
        first: Any = self.stages[0]
        x = first.fire(encode(first.project, x, T))
        yield x
        for stage in self.stages[1:]:
            x = self.run([stage], x)
            yield x
        x = self.last_stage(x)
        x = x + self.position(self.position_neuron(x))
        if self.pooled_attention:
            yield self.run(self.blocks, x)
        else:
            yield self.run(self.blocks, x.flatten(3)).unflatten(3, x.shape[3:])
