"""The network as it is deployed: one module from pictures to logits, in operations that can be traced."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.export.fold import fold_batch_norms
from a2sg_zoo.hub.published import Description
from a2sg_zoo.models.backbones.qkformer import AcrossBatch
from a2sg_zoo.neurons import compute_reference, use_backend
from a2sg_zoo.utils.models import input_channels


class Deployed(nn.Module):
    """A network from pictures to logits: normalisation, the network with folded batch norms, mean over time.

    The input is pictures (B, 3, H, W) with values 0..255 of any type and the red channel first, grey pictures
    (B, 1, H, W) for a network of one channel, or, for a network for event cameras, frames (B, T, C, H, W). The output
    has the type of the network's weights:

        classification    mean over time of the logits, (B, classes); their softmax is the probabilities
        segmentation      logits, enlarged to the size of the picture, (B, classes, H, W)

    Args:
        network: a `SpikingClassifier`, or a segmentor of MMSegmentation; it is not changed.
        description: the network's `a2sg_zoo.hub.published.Description`.
        size: height and width of the input; by default the size to which the description resizes pictures.

    Attributes:
        network: copy of the network, with folded batch norms.
        input_shape: shape of the input without the batch.
        takes_pictures: whether the input is pictures, and not event frames.
        T: number of time steps; that of the classifier's `test_cfg`.

    Raises:
        ConfigError: the size is not known, the network cannot take it, or it is a detector, a language model or a
            network for sequences; or it predicts from several views of an image.

    Example:
        >>> import torch
        >>> from a2sg_zoo.export import Deployed
        >>> from a2sg_zoo.hub.published import load
        >>> from a2sg_zoo.hub.pretrained import locate
        >>> network, description = load(locate('resnet_small_digits_tri'))
        >>> deployed = Deployed(network, description)
        >>> deployed(torch.zeros(2, *deployed.input_shape, dtype=torch.uint8)).shape
        torch.Size([2, 10])
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: Any, description: Description, size: Sequence[int] | None = None):
        super().__init__()
        if description.task == 'detection':
            raise ConfigError(
                'a detector cannot be exported: how many boxes it gives depends on the picture, because candidates '
                'are sorted and overlapping ones are removed, and the exported graphs have fixed shapes. Use the '
                'network in PyTorch, with a2sg_zoo.DetectionInferencer'
            )
        if description.task == 'language':
            raise ConfigError(
                'a language model cannot be exported: it reads a text step by step with carried states, and the '
                'exported graphs have none. Use the network in PyTorch, with a2sg_zoo.TextGenerator'
            )
        if getattr(network, 'test_flip', False):
            raise ConfigError('an exported network looks at each image once; leave out model.test_cfg.flip')
        if (getattr(network, 'test_cfg', None) or {}).get('mode') == 'slide':
            raise ConfigError(
                "an exported network looks at the whole image once: model.test_cfg.mode is 'slide'. Run the exported "
                "network on each window, and export it with model.test_cfg.mode = 'whole' and --size of a window"
            )
        self.network: Any = fold_batch_norms(network)
        self.task, self.description = description.task, description
        backbone: Any = self.network.backbone
        self.T = backbone.T = getattr(network, 'test_T', backbone.T)
        channels = input_channels(backbone)
        if channels is None:
            raise ConfigError(
                f'{type(backbone).__name__} takes sequences and cannot be exported; exported networks take pictures or '
                'event frames. Use the network in PyTorch'
            )
        # event frames of one channel have no size to which pictures are resized
        self.takes_pictures = channels == 3 or channels == 1 and bool(description.resize)
        size = self._size(size)
        self.input_shape = (channels, *size) if self.takes_pictures else (self.T, channels, *size)
        preprocessor, config = network.data_preprocessor, description.model.get('data_preprocessor') or {}
        # data sets for segmentation load pictures with the blue channel first
        converted = bool(config.get('bgr_to_rgb') or config.get('rgb_to_bgr'))
        self.flip = channels == 3 and converted == (self.task == 'classification')
        # a preprocessor that does not normalise has no mean
        self.register_buffer('mean', getattr(preprocessor, 'mean', torch.zeros(1, 1, 1)).to(self.dtype))
        self.register_buffer('std', getattr(preprocessor, 'std', torch.ones(1, 1, 1)).to(self.dtype))
        self.eval()

    @property
    def dtype(self) -> torch.dtype:
        """Type of the network's weights."""
        return next(self.network.parameters()).dtype

    def _size(self, size):
        resize = self.description.resize
        if size is None:
            side = resize.get('size') or resize.get('crop')
            if self.task != 'classification' or side is None:
                raise ConfigError(
                    'the size of the input is not known, because the weights resize pictures by '
                    f'{resize or "nothing"}; set it with --size HEIGHT WIDTH'
                )
            size = (side, side)
        if min(size) < 1:
            raise ConfigError(f'--size: height and width must be at least 1, got {size[0]} x {size[1]}')
        preprocessor = self.network.data_preprocessor
        test_cfg = getattr(preprocessor, 'test_cfg', None) or {}
        divisor = test_cfg.get('size_divisor') or getattr(preprocessor, 'pad_size_divisor', None) or 1
        if any(n % divisor for n in size):
            raise ConfigError(
                f'--size: the network pads pictures to multiples of {divisor}, and an exported network does not pad; '
                f'use multiples of {divisor} instead of {size[0]} x {size[1]}'
            )
        least = test_cfg.get('size') or size
        if any(n < m for n, m in zip(size, least)):
            raise ConfigError(
                f'--size: data_preprocessor.test_cfg.size pads pictures to {least[0]} x {least[1]}, and an exported '
                f'network does not pad; use at least that size instead of {size[0]} x {size[1]}'
            )
        return tuple(size)

    def normalise(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the input of `network`: pictures or frames with the channel order, mean and std of the training."""
        x = inputs.to(self.mean.dtype)
        return ((x.flip(1) if self.flip else x) - self.mean) / self.std

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map pictures (B, 3 or 1, H, W) or frames (B, T, C, H, W) to logits (B, classes) or (B, classes, H, W)."""
        logits = self.network(self.normalise(inputs))
        if self.task == 'classification':
            return logits.mean(0)
        return F.interpolate(logits, self.input_shape[-2:], mode='bilinear', align_corners=self.network.align_corners)


@contextmanager
def exportable(network: nn.Module) -> Iterator[nn.Module]:
    """Within it, spiking neurons compute their spikes in plain operations, which a tracer can follow without gradients.

    `AcrossBatch` treats each sample separately, as in a batch of one. Neurons of a class with its own `forward` keep
    that.

    Args:
        network: a network; it is restored at the end.

    Yields:
        The network.
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
