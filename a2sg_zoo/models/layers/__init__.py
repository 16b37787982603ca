"""What backbones share. Tensors are (T, B, C, H, W) or, for tokens, (T, B, C, N)."""

from .attention import spiking_attention
from .folded import Folded, conv_bn, encode, token_bn
from .transformer import MembraneMLP, SpikingMLP, SpikingPatchStage, SpikingSelfAttention, TransformerBlock, check_heads

__all__ = [
    'Folded',
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
