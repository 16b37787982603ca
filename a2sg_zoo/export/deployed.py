"""The network as it is deployed: one module from pictures to logits, in operations that can be traced."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from a2sg_zoo.compat import swaps_channels
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.export.fold import fold_batch_norms
from a2sg_zoo.models.backbones.qkformer import AcrossBatch
from a2sg_zoo.neurons import compute_reference, use_backend


class Deployed(nn.Module):
    """Pictures to logits: normalisation, network with folded batch norms, mean over time.

    It takes pictures (B, 3, H, W), red first, of values 0..255 in any type, or, of a network for event cameras, frames
    (B, T, C, H, W). It returns, in the type of the network's weights,

        classification    mean over time of the logits, (B, classes); their softmax is the probabilities
        segmentation      logits enlarged to the size of the picture, (B, classes, H, W)

    Args:
        network: `SpikingClassifier` or a segmentor of MMSegmentation; it is not altered.
        description: its `zoo.published.Description`.
        size: (H, W); by default that which the description resizes pictures to.

    Attributes:
        input_shape: of the input, without the batch.
        T: time steps, those of the classifier's `test_cfg`.

    Raises:
        ConfigError: the size is not known, or the network cannot take it.
    """

    def __init__(self, network, description, size=None):
        super().__init__()
        self.network = fold_batch_norms(network)
        self.task, self.description = description.task, description
        backbone = self.network.backbone
        self.T = backbone.T = getattr(network, 'test_T', backbone.T)
        channels = next(m for m in backbone.modules() if isinstance(m, nn.Conv2d)).in_channels
        self.takes_pictures = channels == 3
        size = self._size(size)
        self.input_shape = (channels, *size) if self.takes_pictures else (self.T, channels, *size)
        preprocessor = network.data_preprocessor
        # pictures of a segmentation are loaded blue first
        converted = swaps_channels(preprocessor)
        self.flip = self.takes_pictures and converted == (self.task == 'classification')
        normalised = 'mean' in dict(preprocessor.named_buffers())
        kind = dict(dtype=self.dtype)
        self.register_buffer('mean', preprocessor.mean.to(**kind) if normalised else torch.zeros(1, 1, 1, **kind))
        self.register_buffer('std', preprocessor.std.to(**kind) if normalised else torch.ones(1, 1, 1, **kind))
        self.eval()

    @property
    def dtype(self):
        return next(self.network.parameters()).dtype

    def _size(self, size):
        resize = self.description.resize
        if size is None:
            side = resize.get('size') or resize.get('crop')
            if self.task != 'classification' or side is None:
                raise ConfigError(
                    'the size of the input is not known: the weights resize pictures by '
                    f'{resize or "nothing"}; give it (--size HEIGHT WIDTH)'
                )
            size = (side, side)
        if min(size) < 1:
            raise ConfigError(f'the input must have a height and a width of at least 1; got {size[0]} x {size[1]}')
        preprocessor = self.network.data_preprocessor
        test_cfg = getattr(preprocessor, 'test_cfg', None) or {}
        divisor = test_cfg.get('size_divisor') or getattr(preprocessor, 'pad_size_divisor', None) or 1
        if any(n % divisor for n in size):
            raise ConfigError(
                f'the network pads pictures to multiples of {divisor}, which an exported one does not; '
                f'give a size of such multiples instead of {size[0]} x {size[1]}'
            )
        return tuple(size)

    def normalise(self, inputs):
        """What the network itself takes."""
        x = inputs.to(self.mean.dtype)
        return ((x.flip(1) if self.flip else x) - self.mean) / self.std

    def forward(self, inputs):
        logits = self.network(self.normalise(inputs))
        if self.task == 'classification':
            return logits.mean(0)
        return F.interpolate(logits, self.input_shape[-2:], mode='bilinear', align_corners=self.network.align_corners)


@contextmanager
def exportable(network: nn.Module) -> Iterator[nn.Module]:
    """Within it, spiking neurons compute their spikes in plain operations, which a tracer can follow without gradients.

    `AcrossBatch` takes each sample by itself, as it does in a batch of one. A neuron with a `forward` of its own keeps
    it.
    """
    across = [module for module in network.modules() if isinstance(module, AcrossBatch)]
    before = [module.each_alone for module in across]
    for module in across:
        module.each_alone = True
    try:
        with use_backend(network, compute_reference):
            yield network
    finally:
        for module, each_alone in zip(across, before):
            module.each_alone = each_alone
