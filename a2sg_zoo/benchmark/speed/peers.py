"""The same neurons and networks in other frameworks, to compare with: SpikingJelly and snnTorch, an extra, `peers`."""

from importlib.metadata import version

from torch import nn

from a2sg_zoo.errors import ConfigError


def require(package):
    """The module and its version, or a ConfigError that says how to get it."""
    try:
        module = __import__(package)
    except ImportError as error:
        raise ConfigError(
            f'{package} is needed to compare with it: pip install "a2sg-zoo[peers]", or pass --no-peers'
        ) from error
    return module, version(package)


def spikingjelly_lif(beta=1.0):
    """SpikingJelly's `LIFNode` over (T, B, ...), of the mathematics of `LIF(decay_input=False, surrogate=TRI(beta))`.

    SpikingJelly chooses the implementation that is best for device and type. Its state is to be reset by
    `spikingjelly.activation_based.functional.reset_net` before each batch.
    """
    require('spikingjelly')
    from spikingjelly.activation_based import neuron, surrogate

    # of slope 1 / beta^2 on both sides of the threshold: TRI of area 1
    return neuron.LIFNode(
        tau=2.0,
        decay_input=False,
        detach_reset=True,
        step_mode='m',
        surrogate_function=surrogate.PiecewiseQuadratic(alpha=1 / beta),
    )


def snntorch_lif():
    """snnTorch's `Leaky`, stepped over (T, B, ...): membrane decay 1/2, input summed, hard reset.

    Its reset reaches the membrane potential within the step, as ours does; its triangular surrogate is not ours.
    """
    snntorch, _ = require('snntorch')
    import torch
    from snntorch import surrogate

    leaky = snntorch.Leaky(beta=0.5, spike_grad=surrogate.triangular(), reset_mechanism='zero', reset_delay=False)

    def layer(x):
        membrane, spikes = leaky.init_leaky(), []
        for x_t in x:
            spike, membrane = leaky(x_t, membrane)
            spikes.append(spike)
        return torch.stack(spikes)

    return layer


class SpikingJellyResNet(nn.Module):
    """A `SpikingClassifier` on a `SpikingResNet` in SpikingJelly's layers: the same weights, the same function.

    As in ours, the stem runs once and its output is repeated by a view.

    Args:
        ours: the classifier; its convolutions, norms and linear layers are used as they are, not copied.
    """

    def __init__(self, ours):
        super().__init__()
        require('spikingjelly')
        from spikingjelly.activation_based import layer

        backbone, self.T = ours.backbone, ours.backbone.T
        self.stem, self.stem_neuron = nn.Sequential(*backbone.stem), spikingjelly_lif()
        self.blocks = nn.Sequential(
            *(_Block(block, layer.SeqToANNContainer) for stage in backbone.stages for block in stage)
        )
        linear = [module for module in ours.head.modules() if isinstance(module, nn.Linear)]
        self.head = nn.Sequential(linear[0])
        for module in linear[1:]:
            self.head.extend([spikingjelly_lif(), module])

    def forward(self, images):
        """Images (B, C, H, W) -> logits (T, B, classes)."""
        from spikingjelly.activation_based import functional

        functional.reset_net(self)
        x = self.stem(images)
        x = self.blocks(self.stem_neuron(x.unsqueeze(0).expand(self.T, *x.shape)))
        return self.head(x.mean((-2, -1)))


class _Block(nn.Module):
    def __init__(self, block, over_time):
        super().__init__()
        self.conv1, self.neuron1 = over_time(*block.conv1), spikingjelly_lif()
        self.conv2, self.neuron2 = over_time(*block.conv2), spikingjelly_lif()
        self.shortcut = nn.Identity() if isinstance(block.shortcut, nn.Identity) else over_time(*block.shortcut)

    def forward(self, x):
        return self.neuron2(self.conv2(self.neuron1(self.conv1(x))) + self.shortcut(x))
