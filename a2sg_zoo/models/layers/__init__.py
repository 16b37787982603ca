"""Layers that several backbones use. Tensors are images (T, B, C, H, W), tokens (T, B, C, N) or sequences (T, B, F)."""

from .attention import spiking_attention
from .delays import DelayLinear, delay_layers
from .sequences import SequenceDropout, check_sequence, linear_norm, make_norm
from .summed_pool import SummedMaxPool2d
from .time_folded import TimeFolded, conv_bn, encode, token_bn
from .transformer import MembraneMLP, SpikingMLP, SpikingPatchStage, SpikingSelfAttention, TransformerBlock, check_heads

__all__ = [
    'TimeFolded',
    'SummedMaxPool2d',
    'conv_bn',
    'token_bn',
    'encode',
    'check_sequence',
    'linear_norm',
    'make_norm',
    'SequenceDropout',
    'DelayLinear',
    'delay_layers',
    'spiking_attention',
    'SpikingPatchStage',
    'SpikingSelfAttention',
    'SpikingMLP',
    'MembraneMLP',
    'TransformerBlock',
    'check_heads',
]
