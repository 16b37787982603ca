"""Policies that set the width of a layer's window from its decay or its membrane potentials: LSG, CPNG, MPD-AGL."""

import torch
from mmengine.dist import get_world_size
from torch import Tensor

from a2sg_zoo.adaptation.objectives import summed_over_processes
from a2sg_zoo.adaptation.policies import Policy
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons.dynamics import wide
from a2sg_zoo.registry import POLICIES
from a2sg_zoo.surrogates import PiecewiseLinear
from a2sg_zoo.surrogates.base import positive


@POLICIES.register_module()
class LSG(Policy):
    """The learnable surrogate gradient: a layer's width follows the decay that the layer learns.

    With the leak rate r = 1 / tau of a `PLIF` layer, the standard deviation that u settles at under independent
    inputs of unit variance, without spikes, is

        sigma(r) = 1 / sqrt(r (2 - r))     for a summed input, u[t] = (1 - r) u[t-1] + x[t]
        sigma(r) = sqrt(r / (2 - r))       for an averaged one, u[t] = (1 - r) u[t-1] + r x[t]

    and the width is beta = beta0 sigma(r) / sigma(1 / tau), with beta0 the surrogate's own. The window is not part of
    the forward pass, so that the loss has no gradient with respect to it: it is learned through r, whose gradient is
    that of the neuron. `width` is differentiable all the same.

    Certain: trainable decays, one a layer, and widths that follow the distribution of u through them. A
    reconstruction: the map from r to beta.

    Args:
        surrogate: a `Surrogate` or its config; the rectangle, or the triangle.
        tau: the time constant at which the width is beta0; the neurons' initial one.

    Raises:
        ConfigError: from `attach`, where a neuron's decay is not trained.

    Source: Lian et al., IJCAI 2023.
    """

    def __init__(self, surrogate=dict(type='BOX'), tau=2.0):
        super().__init__(surrogate)
        self.tau = positive('tau', tau, self)
        if self.tau < 1:
            raise ConfigError(f'LSG: tau must be at least 1 time step, got {tau}')

    def adopt(self, neuron):
        if not (isinstance(neuron.rate, Tensor) and neuron.rate.requires_grad):
            raise ConfigError(
                f'LSG sets the width by the decay that a layer learns, but the decay of this '
                f'{type(neuron).__name__} is fixed; use PLIF (in a config: method = dict(neuron=dict('
                "type='PLIF')))"
            )
        super().adopt(neuron)

    def width(self, neuron):
        """beta of this neuron's layer as a function of its decay: a scalar tensor with a graph."""
        spread = _averaged_spread if neuron.dynamics.decay_input else _summed_spread
        return self.surrogate.beta * spread(neuron.rate) / spread(1 / self.tau)

    def choose(self, neuron, gradients):
        return neuron.beta.copy_(self.width(neuron).detach())


def _summed_spread(r):
    return (r * (2 - r)) ** -0.5


def _averaged_spread(r):
    return (r / (2 - r)) ** 0.5


@POLICIES.register_module()
class CPNG(Policy):
    """Controls the proportion of non-zero gradients: a layer's width moves so as to hold that proportion.

        chi = share of a layer's elements, over all time steps, with |z| <= beta
        beta <- momentum beta + (1 - momentum) q,    q = the `target` quantile of |z|

    once an optimiser step and layer, after its backward pass; under beta = q exactly the share `target` of the elements
    would have had a gradient. Without a `target` each layer keeps its own: the mean of chi over the first `warm_up`
    steps, in which the width stands still; it is saved with the neuron as `policy_target`. Where no width would do
    (NaN, no |z| above 0, no gradient to begin with) the one in force stays. Under data parallelism the mean of the
    processes' quantiles counts.

    Certain: the indicator chi, and that it governs the width of each layer in training. A reconstruction: the rule of
    the update, and the target.

    Args:
        surrogate: a `Surrogate` or its config; one with an edge, for chi is 1 without.
        target: chi to hold, between 0 and 1; None for each layer's own.
        warm_up: number of optimiser steps that the layer's own is taken from; without effect under a target.
        momentum: of the width, from 0 (no memory) to below 1.
        sample: number of a layer's elements that are looked at, drawn at random.

    Source: Efficient Surrogate Gradients for Training Spiking Neural Networks, submitted to ICLR 2023.
    """

    def __init__(self, surrogate=dict(type='TRI'), target=None, warm_up=100, momentum=0.9, sample=65536):
        super().__init__(surrogate)
        if not isinstance(self.surrogate, PiecewiseLinear):
            raise ConfigError(
                f'CPNG: {type(self.surrogate).__name__} has no edge, so that all its gradients are '
                'non-zero whatever its width; take TRI, BOX or ASY'
            )
        if target is not None and not 0 < positive('target', target, self) < 1:
            raise ConfigError(f'CPNG: target must lie between 0 and 1, or be None, got {target}')
        for key, value in (('warm_up', warm_up), ('sample', sample)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f'CPNG: {key} must be an integer >= 1, got {value!r}')
        if not isinstance(momentum, (int, float)) or not 0 <= momentum < 1:
            raise ConfigError(f'CPNG: momentum must lie in [0, 1), got {momentum!r}')
        self.target, self.warm_up, self.momentum, self.sample = target, warm_up, momentum, sample
        self._seed = (0, 0)

    def adopt(self, neuron):
        super().adopt(neuron)
        if self.target is None:
            neuron.register_buffer('policy_target', torch.zeros_like(neuron.beta[0]))

    def begin(self, iteration, micro_batch=0, observe=False, seed=0, progress=0.0):
        super().begin(iteration, micro_batch, observe, seed, progress)
        self.searching = micro_batch == 0
        self._seed = (seed, iteration)

    def settle(self, neuron, u, delta):
        if not self.searching:
            return
        distance = (self._sampled(u) - neuron.v_threshold).abs()
        usable = summed_over_processes(distance.sum()).isfinite()
        iteration = self._seed[1]
        if self.target is None and iteration < self.warm_up:
            chi = _mean_over_processes((distance <= neuron.beta[-1]).to(distance.dtype).mean())
            share = torch.where(usable, (chi - neuron.policy_target) / (iteration + 1), 0)
            neuron.policy_target += share.to(neuron.policy_target.dtype)
            return
        target = neuron.policy_target.to(distance) if self.target is None else distance.new_full((), self.target)
        q = _mean_over_processes(torch.quantile(distance, target))
        moved = self.momentum * neuron.beta + (1 - self.momentum) * q.to(neuron.beta.dtype)
        neuron.beta.copy_(torch.where(usable & (q > 0) & (target > 0), moved, neuron.beta))

    def _sampled(self, u):
        u = u.flatten()
        if u.numel() > self.sample:
            generator = torch.Generator(u.device).manual_seed(hash((*self._seed, u.numel())) % 2**63)
            u = u[torch.randint(u.numel(), (self.sample,), generator=generator, device=u.device)]
        return wide(u)


@POLICIES.register_module()
class MPDAGL(Policy):
    """MPD-AGL: the width at each time step and layer is the standard deviation of u[t] there.

        beta[t] = scale Std(u[t])      over all elements of the layer, in every backward pass

    Certain, from the authors' code: a rectangle of area 1 whose half-width is one standard deviation of u, by time
    step. There it comes in closed form from the batch norm before the neuron: gamma v_threshold at t = 1 and
    sqrt(1 + decay^2) gamma v_threshold later, gamma being the mean of the norm's weights; the mean of u is not used.
    A reconstruction: the statistic of u itself takes the place of that form, so that any network will do, with or
    without a batch norm. At t = 1, with channels of like weight and without bias, the two agree in expectation; later
    they agree only as far as resets and inputs more than two steps back are negligible, as the closed form has it.

    Where u does not vary (a silent layer) or is not finite the window in force stays. Under data parallelism the
    deviation is that of the whole batch.

    Args:
        surrogate: a `Surrogate` or its config.
        scale: half-width of the window in standard deviations.

    Source: Jiang et al., IJCAI 2025 (arXiv 2505.11863).
    """

    def __init__(self, surrogate=dict(type='BOX'), scale=1.0):
        super().__init__(surrogate)
        self.scale = positive('scale', scale, self)

    def choose(self, neuron, gradients):
        variance, mean = torch.var_mean(wide(gradients.u), dim=1, correction=0)
        if get_world_size() > 1:
            mean, square = _mean_over_processes(torch.stack([mean, variance + mean.square()]))
            variance = (square - mean.square()).clamp(min=0)
        beta = (self.scale * variance.sqrt()).to(neuron.beta.dtype)
        neuron.beta = torch.where((beta > 0) & beta.isfinite(), beta, neuron.beta)
        return neuron.beta


def _mean_over_processes(x):
    return summed_over_processes(x) / get_world_size()
