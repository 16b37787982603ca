"""Spike-driven Transformer (v1; Yao et al., NeurIPS 2023): attention by masks and additions only.

Shortcuts carry membrane potentials, and attention costs linearly in tokens and channels.

Reference implementation: github.com/BICLab/Spike-Driven-Transformer.
"""

from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.backbones.sizes import count
from a2sg_zoo.models.layers import MembraneMLP, SpikingPatchStage, TransformerBlock, conv_bn, encode, token_bn
from a2sg_zoo.registry import MODELS


class MaskAttention(nn.Module):
    """SDSA: y = q * fires(sum over tokens of k * v), then a projection. Tokens (T, B, C, N) to the same.

    The sum is channel by channel: a channel whose keys and values coincide often lets its queries through. So heads,
    which the published code takes a number of, make no difference here.
    """

    def __init__(self, dim, make_neuron):
        super().__init__()
        self.neuron = make_neuron()
        self.q, self.k, self.v = (token_bn(dim, dim, bias=False) for _ in range(3))
        self.q_neuron, self.k_neuron, self.v_neuron = (make_neuron() for _ in range(3))
        self.mask_neuron = make_neuron(v_threshold=0.5)
        self.proj = token_bn(dim, dim)

    def forward(self, x):
        s = self.neuron(x)
        q, k, v = self.q_neuron(self.q(s)), self.k_neuron(self.k(s)), self.v_neuron(self.v(s))
        return self.proj(q * self.mask_neuron((k * v).sum(3, keepdim=True)))


@MODELS.register_module()
class SpikeDrivenTransformer(SpikingBackbone):
    """Spike-driven Transformer, the first version; the second is `MetaSpikeFormer`, the third `ESpikeFormer`.

    Four stages can be tapped: the first three of the patch embedding (embed_dims / 8, / 4, / 2 channels; spikes) and
    the last block's output (embed_dims channels; membrane potentials). Their strides are 2, 4, 8, 16 if all stages
    pool. Any image size does.

    Args:
        embed_dims: width C of the blocks; the published L-C has L = depth of them.
        depth: number of blocks.
        mlp_ratio: hidden width of the MLP over embed_dims. (At 1 the published MLP gains one more shortcut; this one
            does not.)
        pooling: which of the four stages of the patch embedding pool, as the published code writes it: '1111' for
            ImageNet, '0111' for DVS128 Gesture, '0011' for CIFAR. The published network for CIFAR10-DVS is another
            one: it also pools within its attention. Its checkpoints have the same names, and should not be loaded.
        in_channels: channels of the input.
        neuron: config of the neurons; the default is that of the reference implementation.
        **kwargs: T, out_indices, time, recompute, save_spikes, init_cfg: see `SpikingBackbone`.
    """

    official_names = [
        (r'^head\.', None),
        (r'\.talking_heads\.', None),  # a convolution that the published attention defines and never calls
        (r'^patch_embed\.rpe_(conv|bn)\.', r'position.\1.'),
        (r'^patch_embed\.proj_(conv|bn)\.', r'stages.0.project.\1.'),
        (r'^patch_embed\.proj_(conv|bn)([12])\.', r'stages.\2.project.\1.'),
        (r'^patch_embed\.proj_(conv|bn)3\.', r'last_stage.\1.'),
        (r'^block\.', 'blocks.'),
        (r'\.(q|k|v|proj|fc1|fc2)_(conv|bn)\.', r'.\1.\2.'),
    ]

    def __init__(
        self,
        embed_dims=512,
        depth=8,
        mlp_ratio=4,
        pooling='1111',
        in_channels=3,
        neuron=dict(type='LIF', tau=2.0, surrogate=dict(type='Sigmoid', alpha=4.0)),
        **kwargs,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if embed_dims % 8:
            raise ConfigError(f'SpikeDrivenTransformer: embed_dims must be divisible by 8, got {embed_dims}')
        if len(pooling) != 4 or set(pooling) - set('01'):
            raise ConfigError(
                f"SpikeDrivenTransformer: pooling must be four digits 0 or 1, like '0011', got {pooling!r}"
            )
        pooled = [flag == '1' for flag in pooling]
        widths = [embed_dims // 8, embed_dims // 4, embed_dims // 2, embed_dims]
        self.stages = nn.ModuleList(
            SpikingPatchStage(c_in, c_out, self.neuron(), pools)
            for c_in, c_out, pools in zip([in_channels, *widths], widths[:3], pooled)
        )
        # pools before it fires: what the shortcut around the positional convolution takes is a membrane potential
        self.last_stage = conv_bn(widths[2], embed_dims)
        if pooled[3]:
            self.last_stage.add_module('pool', nn.MaxPool2d(3, 2, 1))
        self.position_neuron, self.position = self.neuron(), conv_bn(embed_dims, embed_dims)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                MaskAttention(embed_dims, self.neuron),
                MembraneMLP(embed_dims, int(embed_dims * mlp_ratio), self.neuron),
            )
            for _ in range(depth)
        )
        self.tap(widths)

    @classmethod
    def reshape_official(cls, name, value):
        # what is a 1x1 convolution on (C, H, W) there is one on (C, N) here
        return (
            value.reshape(*value.shape[:2], 1)
            if name.startswith('blocks.') and name.endswith('.conv.weight')
            else value
        )

    @staticmethod
    def sizes_of(weights):
        """The arguments of the constructor that the weights tell; not the pooling."""
        embed_dims = len(weights['position.bn.weight'])
        return dict(
            embed_dims=embed_dims,
            depth=count(weights, 'blocks'),
            in_channels=weights['stages.0.project.conv.weight'].shape[1],
            mlp_ratio=len(weights['blocks.0.mlp.fc1.bn.weight']) / embed_dims,
        )

    def forward_stages(self, x):
        x = self.stages[0].fire(encode(self.stages[0].project, x, self.T))
        yield x
        for stage in self.stages[1:]:
            x = self.run([stage], x)
            yield x
        x = self.last_stage(x)
        x = x + self.position(self.position_neuron(x))
        size = x.shape[-2:]
        x = x.flatten(3)
        yield self.run(self.blocks, x).unflatten(3, size)
