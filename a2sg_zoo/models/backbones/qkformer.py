"""QKFormer (Zhou et al., NeurIPS 2024): a hierarchy of stages, with Q-K attention where there are many tokens.

Reference implementation: github.com/zhouchenlin2096/QKFormer.
"""

from typing import NamedTuple

from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.backbones.sizes import count
from a2sg_zoo.models.layers import (
    SpikingMLP,
    SpikingSelfAttention,
    TransformerBlock,
    check_heads,
    conv_bn,
    encode,
    token_bn,
)
from a2sg_zoo.registry import MODELS


class Form(NamedTuple):
    """A published form, after CIFAR10, ImageNet and CIFAR10-DVS (cifar10-dvs/model.py in the reference).

    A convolution is (what embed_dims is divided by for its channels, whether it pools).

    Attributes:
        stem: the first convolution.
        stages: the convolutions of each stage's patch embedding.
        qk_blocks: number of blocks of the stages with Q-K attention, which are all but the last.
    """

    stem: tuple
    stages: list
    qk_blocks: tuple


FORMS = dict(
    cifar=Form((8, False), [[(4, False)], [(2, False), (2, True)], [(1, False), (1, True)]], (1, 1)),
    imagenet=Form((8, True), [[(4, True), (4, False)], [(2, True), (2, False)], [(1, True), (1, False)]], (1, 2)),
    dvs=Form((16, False), [[(8, True), (4, True), (2, True)], [(1, False), (1, True)]], (1,)),
)


class PooledConv(nn.Module):
    """Convolution, batch norm, max pooling by 2 (if pooled), neuron. (T, B, C, H, W) to spikes."""

    def __init__(self, in_channels, out_channels, neuron, pooled):
        super().__init__()
        self.project = conv_bn(in_channels, out_channels)
        if pooled:
            self.project.add_module('pool', nn.MaxPool2d(3, 2, 1))
        self.neuron = neuron

    def forward(self, x):
        return self.neuron(self.project(x))


class Shortcut(nn.Module):
    """1x1 convolution with a stride, batch norm, neuron. (T, B, C, H, W) to spikes."""

    def __init__(self, in_channels, out_channels, stride, neuron):
        super().__init__()
        self.project, self.neuron = conv_bn(in_channels, out_channels, 1, stride), neuron

    def forward(self, x):
        return self.neuron(self.project(x))


class PatchEmbedding(nn.Module):
    """Convolutions, the last two of which (or the only one) have a `Shortcut` beside them. (T, B, C, H, W)."""

    def __init__(self, in_channels, convs, make_neuron):
        super().__init__()
        self.convs = nn.ModuleList(
            PooledConv(c_in, c_out, make_neuron(), pooled)
            for c_in, (c_out, pooled) in zip([in_channels, *(c for c, _ in convs)], convs)
        )
        self.before = max(len(convs) - 2, 0)
        beside = convs[self.before :]
        self.shortcut = Shortcut(
            convs[self.before - 1][0] if self.before else in_channels,
            convs[-1][0],
            2 ** sum(pooled for _, pooled in beside),
            make_neuron(),
        )

    def forward(self, x):
        for conv in self.convs[: self.before]:
            x = conv(x)
        y = x
        for conv in self.convs[self.before :]:
            y = conv(y)
        return y + self.shortcut(x)


class QKAttention(nn.Module):
    """Q-K token attention: y = fires(sum over channels of q) * k in each head, then a projection. Tokens to spikes.

    The query says which tokens pass, in N + C operations a token in place of N C.
    """

    def __init__(self, dim, heads, make_neuron):
        super().__init__()
        self.heads = check_heads(dim, heads)
        self.q, self.k = token_bn(dim, dim, bias=False), token_bn(dim, dim, bias=False)
        self.q_neuron, self.k_neuron = make_neuron(), make_neuron()
        self.attn_neuron = make_neuron(v_threshold=0.5)
        self.proj, self.proj_neuron = token_bn(dim, dim), make_neuron()

    def forward(self, x):
        q, k = (
            neuron(conv(x)).unflatten(2, (self.heads, -1))
            for conv, neuron in ((self.q, self.q_neuron), (self.k, self.k_neuron))
        )
        mask = self.attn_neuron(q.sum(3, keepdim=True))
        return self.proj_neuron(self.proj((mask * k).flatten(2, 3)))


class AcrossBatch(nn.Module):
    """A neuron for which the samples of a batch are further time steps: (T, B, ...) is seen as (T * B, 1, ...)."""

    def __init__(self, neuron):
        super().__init__()
        self.neuron = neuron

    def forward(self, x):
        return self.neuron(x.flatten(0, 1).unsqueeze(1)).squeeze(1).unflatten(0, x.shape[:2])


@MODELS.register_module()
class QKFormer(SpikingBackbone):
    """QKFormer, also called HST.

    Three stages can be tapped, with embed_dims / 4, / 2 and / 1 channels at strides 1, 2, 4 in the CIFAR form and
    4, 8, 16 in the ImageNet form; the form for event cameras has two, embed_dims / 2 and / 1 at 8, 16. Outputs are
    sums of spikes. Any image size does.

    Args:
        embed_dims: width C of the last stage; HST-L-C has L = depth blocks in all.
        depth: number of blocks, those with Q-K attention included.
        num_heads: attention heads, in all stages.
        mlp_ratio: hidden width of the MLPs over their width.
        form: 'cifar', 'imagenet' or 'dvs': the published forms, see `Form`. That for event cameras is 2-256 with 16
            heads, in_channels=2.
        carry_over: True is the published network. There, the membrane potentials of the last neuron of each
            self-attention run on from one sample of a batch to the next, so that a sample's output depends on its
            neighbours; with a batch of one it makes no difference. False has each sample stand alone, which windows
            that are adapted a time step at a time need.
        in_channels: channels of the input.
        neuron: config of the neurons; the default is that of the reference implementation.
        **kwargs: T, out_indices, time, recompute, save_spikes, init_cfg: see `SpikingBackbone`.
    """

    official_names = [
        (r'^head\.', None),
        (r'^patch_embed1\.proj_(conv|bn)\.', r'stem.project.\1.'),
        *((rf'^patch_embed1\.proj{i + 1}_(conv|bn)\.', rf'embeddings.0.convs.{i}.project.\1.') for i in range(3)),
        *((rf'^patch_embed{i + 1}\.proj_res_(conv|bn)\.', rf'embeddings.{i}.shortcut.project.\1.') for i in range(3)),
        *((rf'^patch_embed{i + 1}\.proj3?_(conv|bn)\.', rf'embeddings.{i}.convs.0.project.\1.') for i in (1, 2)),
        *((rf'^patch_embed{i + 1}\.proj4_(conv|bn)\.', rf'embeddings.{i}.convs.1.project.\1.') for i in (1, 2)),
        *((rf'^stage{i + 1}\.', f'stages.{i}.') for i in range(3)),
        (r'\.t?ssa\.', '.attn.'),
        (r'\.(?:mlp|fc)([12])_(conv|bn)\.', r'.fc\1.\2.'),
        (r'\.(q|k|v|proj)_(conv|bn)\.', r'.\1.\2.'),
    ]

    def __init__(
        self,
        embed_dims=384,
        depth=10,
        num_heads=6,
        mlp_ratio=4,
        form='imagenet',
        carry_over=True,
        in_channels=3,
        neuron=dict(type='LIF', tau=2.0, surrogate=dict(type='Sigmoid', alpha=4.0)),
        **kwargs,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if form not in FORMS:
            raise ConfigError(f'QKFormer: form must be one of {sorted(FORMS)}, got {form!r}')
        stem, stages, qk_blocks = FORMS[form]
        if embed_dims % stem[0]:
            raise ConfigError(f'QKFormer: embed_dims must be divisible by {stem[0]}, got {embed_dims}')
        if depth <= sum(qk_blocks):
            raise ConfigError(f'QKFormer: depth must exceed the {sum(qk_blocks)} blocks of Q-K attention, got {depth}')
        self.stem = PooledConv(in_channels, embed_dims // stem[0], self.neuron(), stem[1])
        self.embeddings, self.stages, widths = nn.ModuleList(), nn.ModuleList(), []
        for convs, number in zip(stages, (*qk_blocks, depth - sum(qk_blocks))):
            convs = [(embed_dims // divisor, pooled) for divisor, pooled in convs]
            self.embeddings.append(PatchEmbedding(widths[-1] if widths else embed_dims // stem[0], convs, self.neuron))
            widths.append(convs[-1][0])
            attention = QKAttention if len(widths) < len(stages) else SpikingSelfAttention
            self.stages.append(
                nn.Sequential(
                    *(
                        TransformerBlock(
                            attention(widths[-1], num_heads, self.neuron),
                            SpikingMLP(widths[-1], int(widths[-1] * mlp_ratio), self.neuron),
                        )
                        for _ in range(number)
                    )
                )
            )
        if carry_over:
            for block in self.stages[-1]:
                block.attn.proj_neuron = AcrossBatch(block.attn.proj_neuron)
        self.tap(widths)

    @classmethod
    def reshape_official(cls, name, value):
        # what is a 1x1 convolution on (C, H, W) there is one on (C, N) here
        return value.reshape(*value.shape[:2], 1) if '.mlp.' in name and name.endswith('.conv.weight') else value

    @staticmethod
    def sizes_of(weights):
        """The arguments of the constructor that the weights tell; not num_heads."""
        stages = count(weights, 'stages')
        embed_dims = len(weights[f'embeddings.{stages - 1}.shortcut.project.bn.weight'])
        return dict(
            embed_dims=embed_dims,
            depth=sum(count(weights, f'stages.{i}') for i in range(stages)),
            mlp_ratio=len(weights[f'stages.{stages - 1}.0.mlp.fc1.bn.weight']) / embed_dims,
            form={1: 'cifar', 2: 'imagenet', 3: 'dvs'}[count(weights, 'embeddings.0.convs')],
            in_channels=weights['stem.project.conv.weight'].shape[1],
        )

    def forward_stages(self, x):
        x = self.stem.neuron(encode(self.stem.project, x, self.T))
        for embedding, stage in zip(self.embeddings, self.stages):
            x = self.run([embedding], x)
            x = self.run(stage, x.flatten(3)).unflatten(3, x.shape[-2:])
            yield x
