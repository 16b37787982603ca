"""Dspike: it chooses the surrogate that gives the gradient nearest to a finite-difference gradient."""

import copy
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from a2sg_zoo.adaptation.base import Layer, Policy
from a2sg_zoo.adaptation.objectives import summed_over_processes
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers import DelayLinear
from a2sg_zoo.neurons import Neuron, hold_widths, named_neurons
from a2sg_zoo.registry import POLICIES
from a2sg_zoo.surrogates import DspikeShape
from a2sg_zoo.utils.checks import integer, positive
from a2sg_zoo.utils.randomness import random_state, random_state_restored, set_random_state


@POLICIES.register_module()
class Dspike(Policy):
    """Keeps the temperature b of `DspikeShape` that brings the surrogate gradient nearest to a finite difference.

    Every `interval` steps, on the next batch, for the weights w of the first layer:

        n_k = (L(w + h d_k) - L(w - h d_k)) / 2h                finite differences of the true loss
        s_k(b) = d_k . dL/dw under the surrogate of temperature b
        b <- argmax over b, b + step, b - step of cos(n, s(b))

    for all layers at once: beta = 2 v_threshold / b, and beta is also where b is stored. With `directions` K, d_1 ...
    d_K are random orthonormal directions and h = eps |w|. With None each weight is a direction, as in the paper, and
    h = eps rms(w). Either way a weight moves by eps times the root mean square of the weights. The true loss is
    piecewise constant in w, except for what reaches it past the spikes, so a small eps finds no difference or a chance
    one: eps has to carry a good number of neurons over the threshold.

    A choice costs 2 K + 3 forward and 3 backward passes, in the precision of the weights. It leaves the training
    otherwise unchanged: weights, gradients, running statistics and random numbers are restored. Where no cosine exists
    (a loss that does not move, NaN), b stays. Under data parallelism the differences are averaged, so all processes
    keep the same b. Under gradient accumulation the first micro-batch decides.

    Certain: the shape, the first layer, the three candidates, one temperature for all layers, the choice before each
    epoch. A reconstruction: b0, step and eps, random directions in place of single weights, one batch, central
    differences, and that b does not fall below `step`. eps = 0.3 comes from a small ResNet-19 on digits, where 0.1 and
    1 gave lower cosines and 0.01 almost none. With 16 directions the best b there was chance; with 128 it lay between 3
    and 4, at cosines of 0.2 to 0.3.

    Args:
        b: temperature to start from; dimensionless.
        step: the change of b at a time.
        interval: number of optimiser steps between two choices; an epoch in the paper (391: CIFAR in batches of 128).
        eps: size of the difference, relative to the weights.
        directions: number of random directions (at most one a weight), or None for every single weight.

    Raises:
        ConfigError: an argument is out of its range.

    Source: Li et al., NeurIPS 2021, Algorithm 1.
    """

    automatic = False

    def __init__(
        self, b: float = 3.0, step: float = 0.2, interval: int = 391, eps: float = 0.3, directions: int | None = 64
    ) -> None:
        super().__init__(DspikeShape(b))
        self.b, self.step, self.eps = float(b), positive('step', step, self), positive('eps', eps, self)
        if self.step > self.b:
            raise ConfigError(f'Dspike: step = {step} must not exceed b = {b}, or there is no smaller b to try')
        self.interval = integer('interval', interval, self)
        self.directions = None if directions is None else integer('directions', directions, self)

    def __repr__(self) -> str:
        return f'Dspike(b={self.b}, step={self.step}, interval={self.interval})'

    def adopt(self, neuron: Layer) -> None:
        if not isinstance(neuron, Neuron):
            raise ConfigError(
                f'Dspike runs the loss of a network of MMEngine again, and takes only neurons of this package, but '
                f'{self.layers[neuron]} is one of another library'
            )
        super().adopt(neuron)
        neuron.surrogate = DspikeShape(self.b, neuron.v_threshold)
        neuron.set_widths(neuron.surrogate.beta)

    def prepare(self, model: nn.Module, data_batch: Any, iteration: int) -> None:
        self._begun = True  # `begin` follows
        if iteration % self.interval or not model.training:
            return
        neurons = [neuron for neuron in named_neurons(model).values() if neuron.policy is self]
        b = float(2 * neurons[0].v_threshold / neurons[0].beta[-1])
        # the temperature in force comes first, so a tie keeps it; the slack is for float32
        candidates = [x for x in (b, b + self.step, b - self.step) if x > 0.999 * self.step]
        cosines = self.cosines(model, data_batch, iteration, candidates)
        if cosines.isfinite().all():
            _set_temperature(neurons, candidates[int(cosines.argmax())])

    def cosines(self, model: nn.Module, data_batch: Any, iteration: int, candidates: Sequence[float]) -> Tensor:
        """cos(n, s(b)) for each temperature of `candidates`, as one tensor; it leaves the model as it was.

        Raises:
            ConfigError: no gradient of the first layer depends on the temperature.
        """
        self._begun = True  # these passes are no training steps
        name, weight = _first_weight(model)
        neurons = [neuron for neuron in named_neurons(model).values() if neuron.policy is self]
        with hold_widths(model), _restored(model, weight):
            data = model.data_preprocessor(copy.deepcopy(data_batch), True)
            start = random_state(weight.device)

            def loss():
                # the same random numbers in every pass, so the difference comes from the weights alone
                set_random_state(start)
                return model.parse_losses(model(**data, mode='loss'))[0]

            basis = self._basis(weight, iteration)
            differences = self._differences(weight, basis, loss)
            slopes = []
            for b in candidates:
                _set_temperature(neurons, b)
                (gradient,) = torch.autograd.grad(loss(), weight, allow_unused=True)
                if gradient is None:
                    raise ConfigError(
                        f'Dspike compares gradients of the first layer, {name}, but the loss does not depend on it'
                    )
                gradient = gradient.double().flatten()
                slopes.append(gradient if basis is None else basis.double() @ gradient)
        both = summed_over_processes(torch.stack([differences, *slopes]))
        # NaN for gradients that are zero
        changes = (both[2:] - both[1]).norm(dim=1) / both[1].norm()
        if len(changes) and (changes < 1e-6).all():
            raise ConfigError(
                f'Dspike compares gradients of the first layer, {name}, but that gradient passes through no spike, so '
                'it is the same under every surrogate; train a layer ahead of the first neurons'
            )
        unit = both / both.norm(dim=1, keepdim=True)
        return unit[1:] @ unit[0]

    def _basis(self, weight, iteration):
        """Orthonormal rows (K, number of weights), the same in every process; None for the unit vectors."""
        if self.directions is None or self.directions >= weight.numel():
            return None
        generator = torch.Generator().manual_seed(iteration)
        columns = torch.randn(weight.numel(), self.directions, generator=generator, dtype=torch.float64)
        return torch.linalg.qr(columns).Q.T.contiguous().to(weight)

    @torch.no_grad()
    def _differences(self, weight, basis, loss):
        start, size = weight.clone(), weight.numel()
        h = self.eps * weight.norm() / (size**0.5 if basis is None else 1)
        differences = []
        for k in range(size if basis is None else len(basis)):
            if basis is None:
                move = torch.zeros_like(start).flatten()
                move[k] = h
            else:
                move = h * basis[k]
            ends = []
            for sign in (1, -1):
                weight.copy_(start + sign * move.view_as(start))
                ends.append(loss().double())
            differences.append((ends[0] - ends[1]) / (2 * h))
        weight.copy_(start)
        return torch.stack(differences)


def _set_temperature(neurons, b):
    for neuron in neurons:
        neuron.set_widths(2 * neuron.v_threshold / b)


def _first_weight(model):
    """(name, weight) of the first layer with synapses that is trained, in the order of definition."""
    kinds = nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, DelayLinear
    for name, module in model.named_modules():
        if isinstance(module, kinds) and module.weight.requires_grad:
            return name, module.weight
    raise ConfigError(
        f'Dspike compares gradients of the first layer, but {type(model).__name__} has no convolution or '
        'linear layer that is trained'
    )


@contextmanager
def _restored(model, weight):
    """Restores the weight, all buffers and the states of the generators at its end."""
    start = weight.detach().clone()
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    try:
        with random_state_restored(weight.device):
            yield
    finally:
        with torch.no_grad():
            weight.copy_(start)
            for module, name, buffer, value in buffers:
                setattr(module, name, buffer.copy_(value))
