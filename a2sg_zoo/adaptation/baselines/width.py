"""Policies that set the width of a layer from its decay or its membrane potentials: LSG, CPNG, MPD-AGL."""

import torch
from torch import Tensor, distributed

from a2sg_zoo.adaptation.base import Layer, Policy, generator
from a2sg_zoo.adaptation.foreign import ForeignLayer
from a2sg_zoo.adaptation.objectives import summed_over_processes
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import LocalGradient
from a2sg_zoo.neurons.dynamics import wide
from a2sg_zoo.registry import POLICIES
from a2sg_zoo.surrogates import PiecewiseLinear, Surrogate
from a2sg_zoo.utils.checks import integer, number, positive


@POLICIES.register_module()
class LSG(Policy):
    """The learnable surrogate gradient: the width of a layer follows the decay that the layer learns.

    With the leak rate r = 1 / tau of a `PLIF` layer, and without spikes, independent inputs of unit variance bring u
    to the standard deviation

        sigma(r) = 1 / sqrt(r (2 - r))     for a summed input, u[t] = (1 - r) u[t-1] + x[t]
        sigma(r) = sqrt(r / (2 - r))       for an averaged one, u[t] = (1 - r) u[t-1] + r x[t]

    and the width is beta = beta0 sigma(r) / sigma(1 / tau), with beta0 the width of the surrogate and tau the time
    constant that the layer begins with. The window is not part of the forward pass, so the loss has no gradient with
    respect to beta. It is learned through r, which the neuron trains. `width_of_decay` is differentiable nevertheless.

    Certain: trainable decays, one a layer, and widths that follow the distribution of u through them. A
    reconstruction: the map from r to beta.

    Args:
        surrogate: a `Surrogate` or its config; the rectangle, or the triangle.
        tau: the time constant at which the width is beta0, for all neurons; None for the one that each has in
            `attach`.

    Raises:
        ConfigError: tau is below 1; from `attach`, if the decay of a neuron is not trained.

    Source: Lian et al., IJCAI 2023.
    """

    needs_gradient = False

    def __init__(self, surrogate: Surrogate | dict = dict(type='BOX'), tau: float | None = None) -> None:
        super().__init__(surrogate)
        self.tau = None if tau is None else positive('tau', tau, self)
        if self.tau is not None and self.tau < 1:
            raise ConfigError(f'LSG: tau must be at least 1 time step, got {tau}')
        self._initial_rates: dict[Layer, float] = {}

    def enlist(self, neurons: dict[str, Layer]) -> None:
        super().enlist(neurons)
        # `attach` comes before a checkpoint is loaded, so a resumed run finds the same
        rates = {neuron: neuron.rate for neuron in neurons.values()}
        learned = {neuron: float(rate.detach()) for neuron, rate in rates.items() if isinstance(rate, Tensor)}
        self._initial_rates = learned if self.tau is None else dict.fromkeys(learned, 1 / self.tau)

    def adopt(self, neuron: Layer) -> None:
        if not (isinstance(neuron.rate, Tensor) and neuron.rate.requires_grad):
            reason = "the decay is fixed; use PLIF (in a config: neuron = dict(type='PLIF'))"
            if isinstance(neuron, ForeignLayer):
                reason = 'its adapter gives no learned decay (`Adapter.leak`); use a PLIF neuron'
            kind = type(getattr(neuron, 'module', neuron)).__name__
            raise ConfigError(
                'LSG sets the width by the decay that a layer learns. For '
                f'{self.layers.get(neuron, "this layer")} ({kind}), {reason}'
            )
        super().adopt(neuron)

    def width_of_decay(self, neuron: Layer) -> Tensor:
        """The width of a layer as a function of its decay: a scalar tensor with a graph."""
        spread = _averaged_spread if neuron.decay_input else _summed_spread
        return self.surrogate.beta * spread(neuron.rate) / spread(self._initial_rates[neuron])

    def width(self, neuron: Layer, t: int, gradient: LocalGradient, later: Tensor | None) -> Tensor:
        return self.width_of_decay(neuron).detach() if later is None else later


def _summed_spread(r):
    return (r * (2 - r)) ** -0.5


def _averaged_spread(r):
    return (r / (2 - r)) ** 0.5


@POLICIES.register_module()
class CPNG(Policy):
    """Controls the proportion of non-zero gradients: the width of a layer moves to hold that proportion.

        chi = share of the elements of a layer, over all time steps, with |z| <= beta
        beta <- momentum beta + (1 - momentum) q,    q = the `target` quantile of |z|

    once an optimiser step and layer, after the layer's backward pass. With beta = q, exactly the share `target` of the
    elements would have had a gradient. Without a `target`, each layer keeps its own: the mean of chi over the first
    `warm_up` steps, in which the width stands still. It is saved with the neuron as `policy_target`. Where no width
    would do (NaN, no |z| above 0, no gradient from the start), the width in force stays. Under data parallelism the
    mean of the quantiles of all processes counts.

    Certain: the indicator chi, and that it governs the width of each layer in training. A reconstruction: the rule of
    the update, and the target.

    Args:
        surrogate: a `Surrogate` or its config; a shape with an edge, because chi is 1 without one.
        target: chi to hold, between 0 and 1; None for each layer's own.
        warm_up: number of optimiser steps that a layer's own target is measured over; without effect under a target.
        momentum: of the width, from 0 (no memory) to below 1.
        sample: number of elements of a layer that are looked at, drawn at random.

    Raises:
        ConfigError: an argument is out of its range, or the shape has no edge.

    Source: Efficient Surrogate Gradients for Training Spiking Neural Networks, submitted to ICLR 2023.
    """

    def __init__(
        self,
        surrogate: Surrogate | dict = dict(type='TRI'),
        target: float | None = None,
        warm_up: int = 100,
        momentum: float = 0.9,
        sample: int = 65536,
    ) -> None:
        super().__init__(surrogate)
        if not isinstance(self.surrogate, PiecewiseLinear):
            raise ConfigError(
                f'CPNG: surrogate {type(self.surrogate).__name__} has no edge, so all its gradients are non-zero at '
                'every width; take TRI, BOX or ASY'
            )
        if target is not None and not 0 < positive('target', target, self) < 1:
            raise ConfigError(f'CPNG: target must lie between 0 and 1, or be None, got {target}')
        self.target, self.momentum = target, number('momentum', momentum, self, 0, 1, below_high=True)
        self.warm_up, self.sample = integer('warm_up', warm_up, self), integer('sample', sample, self)
        self._seed = (0, 0)

    def adopt(self, neuron: Layer) -> None:
        super().adopt(neuron)
        if self.target is None:
            neuron.keep('policy_target', torch.zeros_like(neuron.beta[0]))

    def begin(
        self, iteration: int, micro_batch: int = 0, observe: bool = False, seed: int = 0, progress: float = 0.0
    ) -> None:
        super().begin(iteration, micro_batch, observe, seed, progress)
        self.searching = micro_batch == 0
        self._seed = (seed, iteration)

    def after(self, neuron: Layer, u: Tensor) -> Tensor | None:
        distance = (self._sampled(u) - neuron.v_threshold).abs()
        usable = summed_over_processes(distance.sum()).isfinite()
        iteration = self._seed[1]
        if self.target is None and iteration < self.warm_up:
            chi = _mean_over_processes((distance <= neuron.beta[-1]).to(distance.dtype).mean())
            share = torch.where(usable, (chi - neuron.policy_target) / (iteration + 1), 0)
            neuron.policy_target += share.to(neuron.policy_target.dtype)
            return None
        target = neuron.policy_target.to(distance) if self.target is None else distance.new_full((), self.target)
        q = _mean_over_processes(torch.quantile(distance, target))
        moved = self.momentum * neuron.beta + (1 - self.momentum) * q.to(neuron.beta.dtype)
        return torch.where(usable & (q > 0) & (target > 0), moved, neuron.beta)

    def _sampled(self, u):
        u = u.flatten()
        if u.numel() > self.sample:
            draws = generator(u.device, *self._seed, u.numel())
            u = u[torch.randint(u.numel(), (self.sample,), generator=draws, device=u.device)]
        return wide(u if u.numel() else u.new_full((1,), torch.nan))  # an empty batch gives no width


@POLICIES.register_module()
class MPDAGL(Policy):
    """MPD-AGL: the width at each time step and layer is the standard deviation of the potentials there.

        beta[t] = scale Std(u[t] - threshold[t])      over all elements of the layer, in every backward pass

    That is Std(u[t]) for the neurons of the paper, which have one threshold. Where thresholds differ, as in `ALIF`, the
    surrogate sees the distances to them.

    Certain, from the authors' code: a rectangle of area 1 with a half-width of one standard deviation of u, by time
    step. Their code computes the deviation in closed form from the batch norm before the neuron: gamma v_threshold at
    t = 1 and sqrt(1 + decay^2) gamma v_threshold later, where gamma is the mean of the norm's weights; the mean of u is
    not used. A reconstruction: the statistic of u itself replaces that form, so any network will do, with or without a
    batch norm. At t = 1, with channels of equal weight and without bias, the two agree in expectation. Later they agree
    only as far as resets and inputs more than two steps back are negligible, as the closed form assumes.

    Where u does not vary (a silent layer) or is not finite, the width in force stays. Under data parallelism the
    deviation is that of the whole batch.

    Args:
        surrogate: a `Surrogate` or its config.
        scale: the width in standard deviations.

    Source: Jiang et al., IJCAI 2025 (arXiv 2505.11863).
    """

    needs_gradient = False

    def __init__(self, surrogate: Surrogate | dict = dict(type='BOX'), scale: float = 1.0) -> None:
        super().__init__(surrogate)
        self.scale = positive('scale', scale, self)

    def width(self, neuron: Layer, t: int, gradient: LocalGradient, later: Tensor | None) -> Tensor:
        variance, mean = torch.var_mean(gradient.z, correction=0)
        if _processes() > 1:
            mean, square = _mean_over_processes(torch.stack([mean, variance + mean.square()]))
            variance = (square - mean.square()).clamp(min=0)
        beta = (self.scale * variance.sqrt()).to(neuron.beta.dtype)
        return torch.where((beta > 0) & beta.isfinite(), beta, super().width(neuron, t, gradient, later))


def _mean_over_processes(x):
    return summed_over_processes(x) / _processes()


def _processes():
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
