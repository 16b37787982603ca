"""Spiking backbones, one family in each file. `SpikingBackbone` describes what they have in common."""

from .base import SpikingBackbone
from .csnn import CSNN
from .delay_snn import DelaySNN
from .e_spikeformer import ESpikeFormer
from .meta_spikeformer import MetaSpikeFormer
from .qkformer import QKFormer
from .resnet import SpikingResNet
from .resnet9 import SpikingResNet9
from .rsnn import RecurrentSNN
from .sdt import SpikeDrivenTransformer
from .sequence_spikformer import SequenceSpikformer
from .sew_resnet import SEWResNet
from .spikformer import Spikformer
from .spikingformer import Spikingformer
from .vgg import VGGSNN

__all__ = [
    'SpikingBackbone',
    'Spikformer',
    'Spikingformer',
    'SpikeDrivenTransformer',
    'MetaSpikeFormer',
    'ESpikeFormer',
    'QKFormer',
    'SpikingResNet',
    'SpikingResNet9',
    'SEWResNet',
    'VGGSNN',
    'CSNN',
    'DelaySNN',
    'RecurrentSNN',
    'SequenceSpikformer',
]
