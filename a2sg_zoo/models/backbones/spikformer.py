"""Spikformer (Zhou et al., ICLR 2023): spiking patch embedding, then blocks of spiking self-attention and MLP.

Reference implementation: github.com/ZK-Zhou/spikformer.
"""

from typing import NamedTuple

from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.backbones.sizes import count
from a2sg_zoo.models.layers import SpikingMLP, SpikingPatchStage, SpikingSelfAttention, TransformerBlock, encode
from a2sg_zoo.registry import MODELS


class Form(NamedTuple):
    """What the published forms differ in.

    Attributes:
        pooled: which stages of the patch embedding pool.
        qkv_bias: whether Q, K and V have a bias.
        scale: of the attention.
    """

    pooled: tuple
    qkv_bias: bool
    scale: float


FORMS = dict(
    cifar=Form((False, False, True, True), True, 0.125),
    imagenet=Form((True, True, True, True), False, 0.125),
    dvs=Form((True, True, True, True), False, 0.25),
)


@MODELS.register_module()
class Spikformer(SpikingBackbone):
    """Spikformer.

    Four stages can be tapped: the first three of the patch embedding (embed_dims / 8, / 4, / 2 channels) and the
    last block's output (embed_dims channels). Their strides are 1, 1, 2, 4 for the CIFAR form and 2, 4, 8, 16 for
    the others. There is no positional table: any image size does.

    Args:
        embed_dims: width C of the blocks; Spikformer-L-C has L = depth of them.
        depth: number of blocks.
        num_heads: attention heads.
        mlp_ratio: hidden width of the MLP over embed_dims.
        form: 'cifar', 'imagenet' or 'dvs': the published forms, see `Form`. That for event cameras is 2-256 with 16
            heads, in_channels=2.
        in_channels: channels of the input.
        neuron: config of the neurons; the default is that of the reference implementation.
        **kwargs: T, out_indices, time, recompute, save_spikes, init_cfg: see `SpikingBackbone`.
    """

    official_names = [
        (r'^head\.', None),
        (r'\.norm[12]\.|^norm\.|^pos_embed$', None),  # defined by the published code, and never used
        (r'^patch_embed\.rpe_(conv|bn)\.', r'position.project.\1.'),
        (r'^patch_embed\.proj_(conv|bn)\.', r'stages.0.project.\1.'),
        (r'^patch_embed\.proj_(conv|bn)(\d)\.', r'stages.\2.project.\1.'),
        (r'^block\.', 'blocks.'),
        (r'\.(q|k|v|proj|fc1|fc2)_(?:linear|conv)\.', r'.\1.conv.'),
        (r'\.(q|k|v|proj|fc1|fc2)_bn\.', r'.\1.bn.'),
    ]

    def __init__(
        self,
        embed_dims=384,
        depth=8,
        num_heads=12,
        mlp_ratio=4,
        form='imagenet',
        in_channels=3,
        neuron=dict(type='LIF', tau=2.0, surrogate=dict(type='Sigmoid', alpha=4.0)),
        **kwargs,
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
    def reshape_official(cls, name, value):
        # linear layers are 1x1 convolutions here, on (C, N)
        return (
            value.reshape(*value.shape[:2], 1)
            if name.startswith('blocks.') and name.endswith('.conv.weight')
            else value
        )

    @staticmethod
    def sizes_of(weights):
        """The arguments of the constructor that the weights tell; not num_heads."""
        embed_dims = len(weights['position.project.bn.weight'])
        in_channels = weights['stages.0.project.conv.weight'].shape[1]
        return dict(
            embed_dims=embed_dims,
            depth=count(weights, 'blocks'),
            in_channels=in_channels,
            mlp_ratio=len(weights['blocks.0.mlp.fc1.bn.weight']) / embed_dims,
            form='cifar' if 'blocks.0.attn.q.conv.bias' in weights else 'dvs' if in_channels == 2 else 'imagenet',
        )

    def forward_stages(self, x):
        x = self.stages[0].fire(encode(self.stages[0].project, x, self.T))
        yield x
        for stage in self.stages[1:3]:
            x = self.run([stage], x)
            yield x
        x = self.run(self.stages[3:], x)
        x = x + self.position(x)
        size = x.shape[-2:]
        x = x.flatten(3)
        yield self.run(self.blocks, x).unflatten(3, size)
