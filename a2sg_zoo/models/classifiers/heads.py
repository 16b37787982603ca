"""Classification heads: from the last output of a backbone to logits, for each time step."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import MODELS, NEURONS
from a2sg_zoo.utils.checks import integer


@MODELS.register_module()
class LinearHead(BaseModule):
    """Average over space, then a linear layer: z[t] = W pool(x[t]) + b, from (T, B, C, H, W) to (T, B, num_classes).

    The features (T, B, C) of a sequence have no space, so they enter the linear layer as they are.

    Args:
        in_channels: channels C of the backbone's last output.
        num_classes: number of classes.
        grid: the features are averaged in each cell of a grid of grid x grid cells, and all averages enter the linear
            layer. 1 is the mean over space. VGGSNN uses 3; its last output has 3x3 pixels, so nothing is averaged.
        spiking: whether neurons fire after the mean over space; for backbones that return membrane potentials.
        hidden: number of units of a linear layer with neurons before the last one; None for no such layer. ResNet-19
            uses 256.
        neuron: config of the neurons.
        loss: config of the loss, a module called with (logits, target).
        init_cfg: MMEngine's config of the initial weights.

    Attributes:
        loss: the loss, called with logits (T, B, num_classes) and a target.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.classifiers import LinearHead
        >>> head = LinearHead(in_channels=16, num_classes=10)
        >>> logits = head(torch.rand(4, 2, 16, 8, 8))
        >>> logits.shape
        torch.Size([4, 2, 10])
        >>> head.loss(logits, torch.tensor([1, 7])).shape
        torch.Size([])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        grid: int = 1,
        spiking: bool = False,
        hidden: int | None = None,
        neuron: dict = dict(type='LIF', tau=2.0),
        loss: dict = dict(type='MeanCrossEntropy'),
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.in_channels, self.num_classes, self.grid = in_channels, num_classes, integer('grid', grid, self)
        features = in_channels * grid**2
        self.layers = nn.Sequential()
        if spiking:
            self.layers.append(NEURONS.build(neuron))
        if hidden is not None:
            self.layers.append(nn.Linear(features, integer('hidden', hidden, self))).append(NEURONS.build(neuron))
        self.layers.append(nn.Linear(hidden or features, num_classes))
        self.loss = MODELS.build(loss)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map features x (T, B, C, H, W) or (T, B, C) to logits (T, B, num_classes).

        Raises:
            ConfigError: `grid` is larger than 1, and the features have no space.
        """
        return self.layers(pool_space(x, self.grid))


def pool_space(x: torch.Tensor, grid: int) -> torch.Tensor:
    """Average features over each cell of a grid of grid x grid cells.

    Args:
        x: features (T, B, C, H, W), or (T, B, C) without space, which are returned as they are.
        grid: number of cells in each direction.

    Returns:
        (T, B, C * grid * grid).

    Raises:
        ConfigError: `grid` is larger than 1, and the features have no space.
    """
    if x.dim() == 3:
        if grid != 1:
            raise ConfigError(f'model.head.grid = {grid}, but the features of a sequence have no space; leave grid out')
        return x
    if grid == 1:
        return x.mean((-2, -1))
    if x.shape[-2:] != (grid, grid):
        x = F.adaptive_avg_pool2d(x.flatten(0, 1), grid).unflatten(0, x.shape[:2])
    return x.flatten(2)
