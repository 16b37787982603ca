"""The hook that sets the fixed first layer of a network from the patches of the training images."""

import torch
from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.model import BaseModule
from mmengine.runner import Runner
from torch.nn import functional as F

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import HOOKS
from a2sg_zoo.utils.checks import integer, number
from a2sg_zoo.utils.models import unwrap_model


@HOOKS.register_module()
class WhitenStem(Hook):
    """Sets a backbone's `stem.whiten` before the first iteration, so that its outputs are uncorrelated.

        W = diag((lambda + eps)^-1/2) V^T,  with C = V diag(lambda) V^T

    C is the covariance of the patches of normalised training images, of the size of the kernel. A resumed run takes
    the weights from its checkpoint, and a network that begins with the weights of another (`load_from`, `init_cfg` of
    the type Pretrained) keeps them: its next layer has learnt to read them.

    Args:
        images: number of images of 32x32 pixels, which are spread evenly over the data set; of larger ones fewer, with
            as many pixels.
        eps: keeps directions with little variance from being amplified; in units of the variance of a pixel.

    Raises:
        ConfigError: an argument has a value that it cannot have, the backbone has no `stem.whiten`, or the data set
            does not hold its images in memory.

    Source: D. Page (DAWNBench, 2018); K. Jordan, arXiv 2404.00498.
    """

    def __init__(self, images: int = 5000, eps: float = 0.01) -> None:
        self.images, self.eps = integer('images', images, self), number('eps', eps, self, 0)

    def before_train(self, runner: Runner) -> None:
        """Sets the weights, unless they come from a checkpoint."""
        if runner.iter:
            return
        model = unwrap_model(runner.model)
        layer = getattr(getattr(getattr(model, 'backbone', None), 'stem', None), 'whiten', None)
        if layer is None:
            raise ConfigError('custom_hooks: WhitenStem needs a backbone with stem.whiten, such as SpikingResNet9')
        if runner.cfg.get('load_from') or _begins_pretrained(model) or _begins_pretrained(model.backbone):
            runner.logger.info('WhitenStem: stem.whiten keeps the weights that were loaded')
            return
        data = runner.train_dataloader.dataset
        images = getattr(data, 'images', None)
        if not isinstance(images, torch.Tensor):
            raise ConfigError(
                'custom_hooks: WhitenStem needs train_dataloader.dataset.images, as CIFAR and ImageFolder have'
            )
        size = images.shape[-2:].numel()
        count = min(max(1, self.images * 32**2 // size), self.images, len(images))
        chosen = torch.linspace(0, len(images) - 1, count).long()
        weight = layer.weight
        inputs = model.data_preprocessor(dict(inputs=list(images[chosen])))['inputs'].to(weight.device)
        with torch.no_grad():
            weight.copy_(whitening(inputs, weight.shape[-1], self.eps))
            broadcast(weight.data)


def _begins_pretrained(module: BaseModule) -> bool:
    configs = module.init_cfg if isinstance(module.init_cfg, list) else [module.init_cfg or {}]
    return any(config.get('type') == 'Pretrained' for config in configs)


def whitening(images: torch.Tensor, size: int, eps: float = 0.01) -> torch.Tensor:
    """Convolution weights (C * size^2, C, size, size) that make the patches of images uncorrelated.

    Args:
        images: normalised images (N, C, H, W).
        size: height and width of a patch, in pixels.
        eps: see `WhitenStem`.

    Example:
        >>> import torch
        >>> from a2sg_zoo.engine.hooks.whiten import whitening
        >>> whitening(torch.randn(8, 3, 16, 16), 3).shape
        torch.Size([27, 3, 3, 3])
    """
    channels = images.shape[1]
    dimensions = channels * size**2
    total, squares = images.new_zeros(dimensions).double(), images.new_zeros(dimensions, dimensions).double()
    number = 0
    for part in images.split(max(1, 500 * 32**2 // images.shape[-2:].numel())):
        patches = F.unfold(part, size).transpose(1, 2).flatten(0, 1).double()
        total, squares, number = total + patches.sum(0), squares + patches.T @ patches, number + len(patches)
    mean = total / number
    values, vectors = torch.linalg.eigh(squares / number - mean[:, None] * mean)
    weight = (values.clamp(min=0) + eps).rsqrt()[:, None] * vectors.T
    return weight.flip(0).view(-1, channels, size, size).to(images.dtype)
