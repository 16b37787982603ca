"""Layers that several backbones use. Tensors are images (T, B, C, H, W) or tokens (T, B, C, N)."""

from .attention import spiking_attention
from .time_folded import TimeFolded, conv_bn, encode, token_bn
from .transformer import MembraneMLP, SpikingMLP, SpikingPatchStage, SpikingSelfAttention, TransformerBlock, check_heads

__all__ = [
    'TimeFolded',
    'conv_bn',
    'token_bn',
    'encode',
    'spiking_attention',
    'SpikingPatchStage',
    'SpikingSelfAttention',
    'SpikingMLP',
    'MembraneMLP',
    'TransformerBlock',
    'check_heads',
]
