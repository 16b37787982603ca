"""Dspike: the surrogate whose gradient points most nearly along a finite-difference gradient."""

import copy
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from a2sg_zoo.adaptation.objectives import summed_over_processes
from a2sg_zoo.adaptation.policies import Policy
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import named_neurons
from a2sg_zoo.registry import POLICIES
from a2sg_zoo.surrogates import DspikeShape
from a2sg_zoo.surrogates.base import positive


@POLICIES.register_module()
class Dspike(Policy):
    """Keeps the temperature b of `DspikeShape` whose surrogate gradient is the best along a finite difference.

    Every `interval` steps, on the batch that comes next, for the first layer's weights w:

        n_k = (L(w + h d_k) - L(w - h d_k)) / 2h                finite differences of the true loss
        s_k(b) = d_k . dL/dw under the surrogate of temperature b
        b <- argmax over b, b + step, b - step of cos(n, s(b))

    for all layers at once: beta = 2 v_threshold / b, which is also where b is kept. With `directions` K, d_1 ... d_K
    are random orthonormal directions and h = eps |w|; with None each weight is a direction, as in the paper, and
    h = eps rms(w). Either way eps says by how much of the weights' root mean square a weight moves. The true loss is
    piecewise constant in w, but for what reaches it past the spikes, so a small eps finds no difference or a chance
    one: eps has to carry a good number of neurons over the threshold.

    Costs 2 K + 3 forward and 3 backward passes an `interval`, in the precision of the weights. Training is otherwise
    as without them: weights, gradients, running statistics and random numbers are put back. Where no cosine exists
    (a loss that does not move, NaN) b stays. Under data parallelism the differences are averaged, so that all
    processes keep the same b; under gradient accumulation the first micro-batch decides.

    Certain: the shape, the first layer, the three candidates, one temperature for all layers, the choice before each
    epoch. A reconstruction: b0, step and eps, random directions in place of single weights, one batch, central
    differences, and that b does not fall below `step`. eps = 0.3 is from a small ResNet-19 on digits, where 0.1 and 1
    gave lower cosines and 0.01 next to none; with 16 directions the best b there was chance, with 128 it lay between 3
    and 4, at cosines of 0.2 to 0.3.

    Args:
        b: temperature to start from.
        step: by how much it changes at a time.
        interval: optimiser steps between two choices; an epoch in the paper (391: CIFAR in batches of 128).
        eps: size of the difference, relative to the weights.
        directions: number of random directions (at most one a weight), or None for every single weight.

    Source: Li et al., NeurIPS 2021, Algorithm 1.
    """

    def __init__(self, b=3.0, step=0.2, interval=391, eps=0.3, directions=64):
        super().__init__(DspikeShape(b))
        self.b, self.step, self.eps = float(b), positive('step', step, self), positive('eps', eps, self)
        if self.step > self.b:
            raise ConfigError(f'Dspike: step = {step} must not exceed b = {b}, or there is no smaller b to try')
        for key, value, optional in (('interval', interval, False), ('directions', directions, True)):
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            if not whole and not (optional and value is None):
                raise ConfigError(f'Dspike: {key} must be an integer >= 1{" or None" * optional}, got {value!r}')
        self.interval, self.directions = interval, directions

    def __repr__(self):
        return f'Dspike(b={self.b}, step={self.step}, interval={self.interval})'

    def adopt(self, neuron):
        super().adopt(neuron)
        neuron.surrogate = DspikeShape(self.b, neuron.v_threshold)
        neuron.beta.fill_(neuron.surrogate.beta)

    def prepare(self, model, data_batch, iteration):
        if iteration % self.interval or not model.training:
            return
        neurons = [neuron for neuron in named_neurons(model).values() if neuron.policy is self]
        b = float(2 * neurons[0].v_threshold / neurons[0].beta[-1])
        # first the one in force, which a tie keeps; the slack is for float32
        candidates = [x for x in (b, b + self.step, b - self.step) if x > 0.999 * self.step]
        cosines = self.cosines(model, data_batch, iteration, candidates)
        if cosines.isfinite().all():
            _set_temperature(neurons, candidates[int(cosines.argmax())])

    def cosines(self, model, data_batch, iteration, candidates):
        """cos(n, s(b)) for each b of `candidates`, as one tensor; leaves the model as it was."""
        name, weight = _first_weight(model)
        neurons = [neuron for neuron in named_neurons(model).values() if neuron.policy is self]
        with _undisturbed(model, self, weight):
            data = model.data_preprocessor(copy.deepcopy(data_batch), True)
            rewind = _rewinder(weight.device)

            def loss():
                # the same random numbers in every pass: the difference is to come from the weights alone
                rewind()
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
        neuron.beta.fill_(2 * neuron.v_threshold / b)


def _rewinder(device):
    """A function that takes torch's generators back to where they are now. (`manual_seed` is slow without a CUDA.)"""
    here = torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == 'cuda' else None

    def rewind():
        torch.set_rng_state(here[0])
        if here[1] is not None:
            torch.cuda.set_rng_state(here[1], device)

    return rewind


def _first_weight(model):
    """(name, weight) of the first convolution or linear layer that is trained, in the order of definition."""
    for name, module in model.named_modules():
        if isinstance(module, (_ConvNd, nn.Linear)) and module.weight.requires_grad:
            return name, module.weight
    raise ConfigError(
        f'Dspike compares gradients of the first layer, but {type(model).__name__} has no convolution or '
        'linear layer that is trained'
    )


@contextmanager
def _undisturbed(model, policy, weight):
    """Puts back the weight, all buffers, the generators' states and the policy's flags."""
    flags = policy.observing, policy.searching
    start = weight.detach().clone()
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    policy.observing = policy.searching = False
    try:
        with torch.random.fork_rng([weight.device] if weight.is_cuda else []):
            yield
    finally:
        policy.observing, policy.searching = flags
        with torch.no_grad():
            weight.copy_(start)
            for module, name, buffer, value in buffers:
                setattr(module, name, buffer.copy_(value))
