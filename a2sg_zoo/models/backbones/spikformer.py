"""Spikformer (Zhou et al., ICLR 2023): a spiking patch embedding, then blocks of spiking self-attention and MLP."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.backbones.sizes import count
from a2sg_zoo.models.layers import SpikingMLP, SpikingPatchStage, SpikingSelfAttention, TransformerBlock, encode
from a2sg_zoo.registry import MODELS


class Form(NamedTuple):
    """The differences between the published networks.

    Attributes:
        pooled: for each of the four stages of the patch embedding, whether it halves height and width.
        qkv_bias: whether the layers of Q, K and V have a bias.
        scale: factor on the products of the attention.
    """

    pooled: tuple[bool, bool, bool, bool]
    qkv_bias: bool
    scale: float


FORMS = dict(
    cifar=Form((False, False, True, True), True, 0.125),
    imagenet=Form((True, True, True, True), False, 0.125),
    dvs=Form((True, True, True, True), False, 0.25),
)


@MODELS.register_module()
class Spikformer(SpikingBackbone):
    """Spikformer, the first spiking transformer: attention without softmax, computed on spikes.

    The patch embedding is four stages of 3x3 convolution, batch norm and neuron; some of them halve height and width.
    One more convolution, added to its own input, tells the blocks where a token lies, in place of a positional table,
    so images of any size can be used. Then every pixel is a token, and `depth` blocks follow. A block adds a spiking
    self-attention, y = fire(scale * Q K^T V) with binary Q, K and V, and then a multilayer perceptron of two spiking
    layers. Shortcuts add spikes to spikes, so the input of a block is integers (0, 1, 2, ...).

    Four outputs can be returned (`out_indices`): the first three stages of the patch embedding, with embed_dims / 8,
    / 4, / 2 channels, and the last block, with embed_dims channels. Their strides are 1, 1, 2, 4 in the CIFAR form and
    2, 4, 8, 16 in the others. Outputs of the patch embedding are spikes, that of the last block is sums of spikes.

    Args:
        embed_dims: channels C of the blocks; a multiple of 8. Spikformer-L-C has depth L and embed_dims C.
        depth: number of blocks.
        num_heads: number of attention heads.
        mlp_ratio: hidden channels of the multilayer perceptron, as a multiple of embed_dims.
        form: 'cifar', 'imagenet' or 'dvs', the published forms, see `Form`. The published network for event cameras is
            form 'dvs' with depth 2, embed_dims 256, 16 heads and in_channels 2.
        in_channels: channels of the input.
        neuron: config of the neurons; the default is that of the reference implementation.
        **kwargs: T, out_indices, time, recompute, save_spikes and init_cfg, see `SpikingBackbone`.

    Source: Zhou et al., ICLR 2023. Reference implementation: github.com/ZK-Zhou/spikformer.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.backbones import Spikformer
        >>> backbone = Spikformer(embed_dims=32, depth=1, num_heads=4, form='cifar', T=2)
        >>> backbone(torch.rand(3, 3, 32, 32))[0].shape  # (B, C, H, W), the mean over time
        torch.Size([3, 32, 8, 8])
    """

    official_names = [
        (r'^head\.', None),
        (r'\.norm[12]\.|^norm\.|^pos_embed$', None),  # the published code defines these and never uses them
        (r'^patch_embed\.rpe_(conv|bn)\.', r'position.project.\1.'),
        (r'^patch_embed\.proj_(conv|bn)\.', r'stages.0.project.\1.'),
        (r'^patch_embed\.proj_(conv|bn)(\d)\.', r'stages.\2.project.\1.'),
        (r'^block\.', 'blocks.'),
        (r'\.(q|k|v|proj|fc1|fc2)_(?:linear|conv)\.', r'.\1.conv.'),
        (r'\.(q|k|v|proj|fc1|fc2)_bn\.', r'.\1.bn.'),
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
        if form not in FORMS:
            raise ConfigError(f'Spikformer: form must be one of {sorted(FORMS)}, got {form!r}')
        if embed_dims % 8:
            raise ConfigError(f'Spikformer: embed_dims must be divisible by 8, got {embed_dims}')
        pooled, qkv_bias, scale = FORMS[form]
        widths = [embed_dims // 8, embed_dims // 4, embed_dims // 2, embed_dims]
        self.stages = nn.ModuleList(
            SpikingPatchStage(c_in, c_out, self.neuron(), pools)
            for c_in, c_out, pools in zip([in_channels, *widths], widths, pooled)
        )
        self.position = SpikingPatchStage(embed_dims, embed_dims, self.neuron(), pooled=False)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                SpikingSelfAttention(embed_dims, num_heads, self.neuron, qkv_bias, scale),
                SpikingMLP(embed_dims, int(embed_dims * mlp_ratio), self.neuron),
            )
            for _ in range(depth)
        )
        self.tap(widths)

    @classmethod
    def reshape_official(cls, name: str, value: torch.Tensor) -> torch.Tensor:
        """Return a published weight in the shape that it has here."""
        # the published linear layers are convolutions of kernel size 1 on (C, N) here
        return (
            value.reshape(*value.shape[:2], 1)
            if name.startswith('blocks.') and name.endswith('.conv.weight')
            else value
        )

    @staticmethod
    def sizes_of(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return the constructor's arguments that follow from the names and shapes of `weights`; not num_heads."""
        embed_dims = len(weights['position.project.bn.weight'])
        in_channels = weights['stages.0.project.conv.weight'].shape[1]
        return dict(
            embed_dims=embed_dims,
            depth=count(weights, 'blocks'),
            in_channels=in_channels,
            mlp_ratio=len(weights['blocks.0.mlp.fc1.bn.weight']) / embed_dims,
            form='cifar' if 'blocks.0.attn.q.conv.bias' in weights else 'dvs' if in_channels == 2 else 'imagenet',
        )

    def forward_stages(self, x: torch.Tensor, T: int) -> Iterator[torch.Tensor]:
        """Yield the output (T, B, C, H, W) of three stages of the patch embedding and of the last block."""
        first: Any = self.stages[0]
        x = first.fire(encode(first.project, x, T))
        yield x
        for stage in self.stages[1:3]:
            x = self.run([stage], x)
            yield x
        x = self.run(self.stages[3:], x)
        x = x + self.position(x)
        size = x.shape[-2:]
        x = x.flatten(3)
        yield self.run(self.blocks, x).unflatten(3, size)
