"""What backbones share. Tensors are (T, B, C, H, W) or, for tokens, (T, B, C, N)."""

from .attention import spiking_attention
from .folded import Folded, conv_bn, encode, token_bn

__all__ = ['Folded', 'conv_bn', 'token_bn', 'encode', 'spiking_attention']
