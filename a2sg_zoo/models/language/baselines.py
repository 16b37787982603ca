"""Language models without spikes, to compare a spiking one with: a GRU and a plain transformer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers import check_heads
from a2sg_zoo.registry import MODELS
from a2sg_zoo.utils.checks import integer, positive


@MODELS.register_module()
class TextGRU(nn.Module):
    """A table of symbols and a gated recurrent unit (GRU) of one or more layers, without spikes.

    Args:
        embed_dims: channels of the table.
        hidden: channels C of each layer of the GRU.
        depth: number of layers of the GRU.
        vocabulary: number of symbols; 256 for bytes.
        T: number of positions of a training sequence.

    Attributes:
        out_channels: channels of the output, as a list of one number.

    Source: Cho et al., EMNLP 2014.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.language import TextGRU
        >>> TextGRU(embed_dims=8, hidden=16, depth=1)(torch.randint(256, (12, 3)))[0].shape
        torch.Size([12, 3, 16])
    """

    def __init__(
        self, embed_dims: int = 128, hidden: int = 256, depth: int = 2, vocabulary: int = 256, T: int = 128
    ) -> None:
        super().__init__()
        for key, value in (
            ('embed_dims', embed_dims),
            ('hidden', hidden),
            ('depth', depth),
            ('vocabulary', vocabulary),
        ):
            integer(key, value, self)
        self.T, self.out_channels = integer('T', T, self), [hidden]
        self.embedding = nn.Embedding(vocabulary, embed_dims)
        self.gru = nn.GRU(embed_dims, hidden, depth)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Map symbols x (T, B) to one output (T, B, C)."""
        return (self.advance(x)[0],)

    def advance(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the output (T, B, C) and the state (depth, B, C) after the next symbols x (T, B) of a text."""
        return self.gru(self.embedding(x), state)


class _Block(nn.Module):
    """x + attention(LN(x)), then x + MLP(LN(x)), with softmax and GELU."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = check_heads(dim, heads)
        self.norm1, self.qkv, self.proj = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.norm2, self.fc1, self.fc2 = nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        T, B, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(T, B, 3, self.heads, -1).permute(2, 1, 3, 0, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.permute(2, 0, 1, 3).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


@MODELS.register_module()
class TextTransformer(nn.Module):
    """A plain causal transformer with learned positions, softmax attention and GELU, without spikes.

    Args:
        embed_dims: channels C.
        depth: number of blocks.
        num_heads: number of attention heads.
        mlp_ratio: hidden channels of the multilayer perceptron, as a multiple of embed_dims.
        vocabulary: number of symbols; 256 for bytes.
        T: largest number of positions.

    Attributes:
        out_channels: channels of the output, as a list of one number.

    Source: Vaswani et al., NeurIPS 2017, with the norm before each part (Radford et al., GPT-2, 2019).

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.language import TextTransformer
        >>> TextTransformer(embed_dims=16, depth=1, num_heads=2)(torch.randint(256, (12, 3)))[0].shape
        torch.Size([12, 3, 16])
    """

    def __init__(
        self,
        embed_dims: int = 128,
        depth: int = 3,
        num_heads: int = 8,
        mlp_ratio: float = 4,
        vocabulary: int = 256,
        T: int = 128,
    ) -> None:
        super().__init__()
        depth, vocabulary = integer('depth', depth, self), integer('vocabulary', vocabulary, self)
        hidden = int(integer('embed_dims', embed_dims, self) * positive('mlp_ratio', mlp_ratio, self))
        self.T, self.out_channels = integer('T', T, self), [embed_dims]
        self.embedding, self.position = nn.Embedding(vocabulary, embed_dims), nn.Embedding(T, embed_dims)
        self.blocks = nn.Sequential(*(_Block(embed_dims, num_heads, hidden) for _ in range(depth)))

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Map symbols x (T, B) to one output (T, B, C).

        Raises:
            ConfigError: there are more positions than `T`.
        """
        if len(x) > self.T:
            raise ConfigError(f'TextTransformer: T = {self.T} positions, but the text has {len(x)}; set a larger T')
        positions = torch.arange(len(x), device=x.device)
        return (self.blocks(self.embedding(x) + self.position(positions)[:, None]),)

    def advance(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the output (T, B, C) for the next symbols x (T, B) of a text, and the state: the symbols seen.

        The blocks run over the latest T symbols once more, so one more symbol costs as much as the whole window.
        """
        y, seen = [], x[:0] if state is None else state
        if len(seen) + len(x) <= self.T:
            seen = torch.cat([seen, x])
            return self(seen)[0][len(seen) - len(x) :], seen
        for symbols in x.split(1):
            seen = torch.cat([seen, symbols])[-self.T :]
            y.append(self(seen)[0][-1:])
        return torch.cat(y), seen
