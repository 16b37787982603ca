"""QKFormer (Zhou et al., NeurIPS 2024): a hierarchy of stages, with a cheaper attention where there are many tokens."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
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
from a2sg_zoo.neurons import Neuron
from a2sg_zoo.registry import MODELS


class Form(NamedTuple):
    """The differences between the published networks for CIFAR10, ImageNet and CIFAR10-DVS.

    A convolution is a pair (divisor, pools): it has embed_dims / divisor channels, and `pools` says whether it halves
    height and width.

    Attributes:
        stem: the first convolution.
        stages: for each stage, the convolutions of its patch embedding.
        qk_blocks: number of blocks of each stage with Q-K attention, which are all stages but the last.
    """

    stem: tuple[int, bool]
    stages: list[list[tuple[int, bool]]]
    qk_blocks: tuple[int, ...]


FORMS = dict(
    cifar=Form((8, False), [[(4, False)], [(2, False), (2, True)], [(1, False), (1, True)]], (1, 1)),
    imagenet=Form((8, True), [[(4, True), (4, False)], [(2, True), (2, False)], [(1, True), (1, False)]], (1, 2)),
    dvs=Form((16, False), [[(8, True), (4, True), (2, True)], [(1, False), (1, True)]], (1,)),
)


class PooledConv(nn.Module):
    """3x3 convolution, batch norm, pooling and neuron: s = fire(pool(BN(conv(x)))), on (T, B, C, H, W).

    Args:
        in_channels: channels of x.
        out_channels: channels of s.
        neuron: layer of neurons.
        pooled: whether a max pooling halves height and width.
    """

    def __init__(self, in_channels: int, out_channels: int, neuron: nn.Module, pooled: bool):
        super().__init__()
        self.project = conv_bn(in_channels, out_channels)
        if pooled:
            self.project.add_module('pool', nn.MaxPool2d(3, 2, 1))
        self.neuron = neuron

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, C_in, H, W) to spikes (T, B, C_out, H', W')."""
        return self.neuron(self.project(x))


class Shortcut(nn.Module):
    """1x1 convolution with a stride, batch norm and neuron: s = fire(BN(conv(x))), on (T, B, C, H, W).

    Args:
        in_channels: channels of x.
        out_channels: channels of s.
        stride: step of the convolution, in pixels.
        neuron: layer of neurons.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, neuron: nn.Module):
        super().__init__()
        self.project, self.neuron = conv_bn(in_channels, out_channels, 1, stride), neuron

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, C_in, H, W) to spikes (T, B, C_out, H / stride, W / stride)."""
        return self.neuron(self.project(x))


class PatchEmbedding(nn.Module):
    """Patch embedding: `PooledConv`s in a row; a `Shortcut` bridges the last two of them (or the only one).

    Args:
        in_channels: channels of the input (T, B, C, H, W).
        convs: (channels, whether it pools) of each convolution.
        make_neuron: returns a new layer of neurons.
    """

    def __init__(self, in_channels: int, convs: Sequence[tuple[int, bool]], make_neuron: Callable[..., nn.Module]):
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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, C_in, H, W) to sums of two spikes, (T, B, C_out, H', W')."""
        for conv in self.convs[: self.before]:
            x = conv(x)
        y = x
        for conv in self.convs[self.before :]:
            y = conv(y)
        return y + self.shortcut(x)


class QKAttention(nn.Module):
    """Q-K token attention, from tokens (T, B, C, N) to spikes of the same shape.

        q = fire(BN(W_q x)), k alike,    y = fire(BN(W (fire(sum over channels of q) * k)))

    In each head the queries decide which tokens pass. The products are element by element, so the cost is linear in N.

    Args:
        dim: channels C.
        heads: number of attention heads; it divides C.
        make_neuron: returns a new layer of neurons; takes `v_threshold`.
    """

    def __init__(self, dim: int, heads: int, make_neuron: Callable[..., nn.Module]):
        super().__init__()
        self.heads = check_heads(dim, heads)
        self.q, self.k = token_bn(dim, dim, bias=False), token_bn(dim, dim, bias=False)
        self.q_neuron, self.k_neuron = make_neuron(), make_neuron()
        self.attn_neuron = make_neuron(v_threshold=0.5)
        self.proj, self.proj_neuron = token_bn(dim, dim), make_neuron()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map tokens x (T, B, C, N) to spikes (T, B, C, N)."""
        q, k = (
            neuron(conv(x)).unflatten(2, (self.heads, -1))
            for conv, neuron in ((self.q, self.q_neuron), (self.k, self.k_neuron))
        )
        mask = self.attn_neuron(q.sum(3, keepdim=True))
        return self.proj_neuron(self.proj((mask * k).flatten(2, 3)))


class AcrossBatch(nn.Module):
    """A layer of neurons that takes the samples of a batch for further time steps: (T, B, ...) as (T * B, 1, ...).

    Args:
        neuron: layer of neurons.

    Attributes:
        each_alone: whether each sample is treated separately, as in a batch of one; an export sets it.
    """

    # an output depends on several time steps, see `time_chunks`
    mixes_time = True

    def __init__(self, neuron: Neuron):
        super().__init__()
        self.neuron = neuron
        neuron.time_steps_vary = True
        self.each_alone = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map currents x (T, B, ...) to spikes of the same shape."""
        if self.each_alone:
            return self.neuron(x)
        return self.neuron(x.flatten(0, 1).unsqueeze(1)).squeeze(1).unflatten(0, x.shape[:2])


@MODELS.register_module()
class QKFormer(SpikingBackbone):
    """QKFormer, also called HST: a spiking transformer with a hierarchy of stages.

    A 3x3 convolution (the stem) and two or three stages. Each stage is a `PatchEmbedding`, which halves height and
    width in most of them, and transformer blocks on its pixels as tokens. The early stages have many tokens, so their
    blocks use `QKAttention`, with a cost that is linear in the number of tokens. The last stage uses the spiking
    self-attention of Spikformer. Shortcuts add spikes to spikes. Images of any size can be used.

    All stages can be returned (`out_indices`), as sums of spikes. The CIFAR form has three, with embed_dims / 4, / 2,
    / 1 channels at strides 1, 2, 4; the ImageNet form has the same at strides 4, 8, 16; the form for event cameras has
    two, with embed_dims / 2, / 1 channels at strides 8, 16.

    Args:
        embed_dims: channels C of the last stage; HST-L-C has depth L and embed_dims C.
        depth: number of blocks of all stages together.
        num_heads: number of attention heads, in all stages.
        mlp_ratio: hidden channels of the multilayer perceptrons, as a multiple of their channels.
        form: 'cifar', 'imagenet' or 'dvs', the published forms, see `Form`. The published network for event cameras is
            form 'dvs' with depth 2, embed_dims 256, 16 heads and in_channels 2.
        carry_over: whether the last neuron of each self-attention carries its membrane potential from one sample of
            the batch to the next. The published network does (True), so there a sample's output depends on the samples
            before it in the batch; with a batch of one it makes no difference. With False each sample stands alone.
            Policies that search for widths time step by time step, such as A2SG, need False.
        in_channels: channels of the input.
        neuron: config of the neurons; the default is that of the reference implementation.
        **kwargs: T, out_indices, time, recompute, save_spikes and init_cfg, see `SpikingBackbone`.

    Source: Zhou et al., NeurIPS 2024. Reference implementation: github.com/zhouchenlin2096/QKFormer.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.backbones import QKFormer
        >>> backbone = QKFormer(embed_dims=32, depth=3, num_heads=4, form='cifar', carry_over=False, T=2)
        >>> backbone(torch.rand(3, 3, 32, 32))[0].shape
        torch.Size([3, 32, 8, 8])
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
    official_arguments = dict(
        carry_over=(True, 'in self-attention, membrane potentials carry over from one sample of a batch to the next')
    )

    def __init__(
        self,
        embed_dims: int = 384,
        depth: int = 10,
        num_heads: int = 6,
        mlp_ratio: float = 4,
        form: str = 'imagenet',
        carry_over: bool = True,
        in_channels: int = 3,
        neuron: dict = dict(type='LIF', tau=2.0, surrogate=dict(type='Sigmoid', alpha=4.0)),
        **kwargs: Any,
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
        self.embeddings, self.stages = nn.ModuleList(), nn.ModuleList()
        widths: list[int] = []
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
            last: Any = self.stages[-1]
            for block in last:
                block.attn.proj_neuron = AcrossBatch(block.attn.proj_neuron)
        self.tap(widths)

    @classmethod
    def reshape_official(cls, name: str, value: torch.Tensor) -> torch.Tensor:
        """Return a published weight in the shape that it has here."""
        # the published 1x1 convolutions on (C, H, W) are convolutions of kernel size 1 on (C, N) here
        return value.reshape(*value.shape[:2], 1) if '.mlp.' in name and name.endswith('.conv.weight') else value

    @staticmethod
    def sizes_of(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return the constructor's arguments that follow from the names and shapes of `weights`; not num_heads."""
        stages = count(weights, 'stages')
        embed_dims = len(weights[f'embeddings.{stages - 1}.shortcut.project.bn.weight'])
        return dict(
            embed_dims=embed_dims,
            depth=sum(count(weights, f'stages.{i}') for i in range(stages)),
            mlp_ratio=len(weights[f'stages.{stages - 1}.0.mlp.fc1.bn.weight']) / embed_dims,
            form={1: 'cifar', 2: 'imagenet', 3: 'dvs'}[count(weights, 'embeddings.0.convs')],
            in_channels=weights['stem.project.conv.weight'].shape[1],
        )

    def forward_stages(self, x: torch.Tensor, T: int) -> Iterator[torch.Tensor]:
        """Yield the sums of spikes (T, B, C, H, W) of each stage."""
        x = self.stem.neuron(encode(self.stem.project, x, T))
        for embedding, stage in zip(self.embeddings, self.stages):
            x = self.run([embedding], x)
            x = self.run(stage, x.flatten(3)).unflatten(3, x.shape[-2:])
            yield x
