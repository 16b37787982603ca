"""Measuring f(z) = dL/dz / g of a layer: what a spike really sends back, at every point of a ramp of z."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from a2sg_zoo.adaptation.attachment import held
from a2sg_zoo.adaptation.foreign import ForeignLayer
from a2sg_zoo.adaptation.foreign.tap import around
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.neurons import Neuron, StepNeuron, multistep_potentials, recorded_potentials
from a2sg_zoo.surrogates import ASY, BOX, TRI, ATan, FastSigmoid, Gaussian, Sigmoid
from a2sg_zoo.utils.tensors import nested_tensors

# a difference above this share of the peak is no rounding
TOLERANCE = 1e-3
_KNOWN = (TRI(), BOX(), ASY(), Sigmoid(), ATan(), FastSigmoid(), Gaussian())

Example = Tensor | Callable[[nn.Module], Any] | None


def ramp(reach: float, points: int) -> Tensor:
    """z from -reach to a little more than reach, densest near 0, (points,) or one more, float64.

    The number of points is even, so 0 is not among them: shapes with a step there differ in its value at 0. The reach
    is stretched so that no point lies on the edge of a usual window.
    """
    t = torch.linspace(-1, 1, points + points % 2, dtype=torch.float64)
    return reach * 1.0123 * torch.sinh(6 * t) / torch.sinh(torch.tensor(6.0, dtype=torch.float64))


def measure(
    network: nn.Module, layers: Mapping[str, Neuron | ForeignLayer], z: Tensor, example: Example
) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Measures f in every layer; the network is afterwards as it was.

    Args:
        network: the network.
        layers: from `find_layers`.
        z: the ramp, (n,), of the device and precision of the network.
        example: see `probe`.

    Returns:
        {name: (z, f)}, with z as the layer had it and f of each time step, (T, n); f is None if the layer never called
        its spike function.

    Raises:
        A2SGError: a neuron does not run alone, and there is no example.
    """
    with _unchanged(network, layers), torch.enable_grad():
        network.eval()
        for layer in layers.values():
            (layer.module if isinstance(layer, ForeignLayer) else layer).train()
        own = {name: layer for name, layer in layers.items() if isinstance(layer, Neuron) or layer.fused}
        foreign = {name: layer for name, layer in layers.items() if name not in own}
        curves = _foreign_curves(network, foreign, z, example) if foreign else {}
        with held(network):
            return {**curves, **{name: _own_curve(layer, z) for name, layer in own.items()}}


@contextmanager
def _unchanged(network: nn.Module, layers: Mapping[str, Neuron | ForeignLayer]) -> Iterator[None]:
    """Puts back what running the neurons changes: modes, and attributes of neurons that keep their states."""
    modes = [(module, module.training) for module in network.modules()]
    kept = [
        (module, {key: value.copy() if isinstance(value, dict) else value for key, value in vars(module).items()})
        for module in (getattr(layer, 'module', layer) for layer in layers.values())
    ]
    try:
        yield
    finally:
        for module, attributes in kept:
            vars(module).clear()
            vars(module).update(attributes)
        for module, training in modes:
            module.training = training


# neurons that our code computes, fused ones too: input currents that bring z onto the ramp


def _own_curve(layer, ramp):
    """(z, f(z) of each time step) of a neuron that our code computes; None for f if it asks no controller."""
    if isinstance(layer, StepNeuron):
        if layer.bypasses_controller:
            return ramp, None
        u = (ramp + layer.v_threshold).expand(layer.beta.numel(), 1, -1).detach().requires_grad_()
        s = layer.fire_at(u)
        return ramp, torch.stack([_gradient(s[t], u)[t, 0] for t in range(len(u))])
    if isinstance(layer, Neuron):
        rate, dynamics = layer.rate, layer.dynamics
    else:
        rate, dynamics = layer.module.multi_step_forward.equations(layer.module)
    rate = rate.detach() if isinstance(rate, Tensor) else rate
    decay, gain, shift = dynamics.coefficients(rate)
    u = ramp + dynamics.v_threshold
    v = torch.full_like(u, dynamics.v_reset)
    currents = []
    for _ in range(layer.beta.numel()):
        currents.append((u - v * decay - shift) / gain)
        v = dynamics.reset(u, (u >= dynamics.v_threshold).to(u.dtype))
    x = torch.stack(currents)[:, None].detach().requires_grad_()
    if isinstance(layer, Neuron):
        with recorded_potentials(layer) as potentials:
            s = layer(x)
        if len(potentials) != 1:
            return ramp, None
        u = potentials[0][1]
    else:
        s, u = multistep_potentials(x, rate, dynamics, layer.module.multi_step_forward.controller(x))
    curves = [_gradient(s[t], x)[t, 0] / _gradient(u[t], x)[t, 0] for t in range(len(x))]
    return (u[0, 0] - dynamics.v_threshold).detach(), torch.stack(curves)


def _gradient(output, x):
    if not output.requires_grad:
        return torch.zeros_like(x)
    (grad,) = torch.autograd.grad(output.sum(), x, retain_graph=True, allow_unused=True)
    return torch.zeros_like(x) if grad is None else grad


# neurons of other libraries: a ramp in the place of the argument of their spike function


class _Replaced(torch.autograd.Function):
    """Other values in the place of z; the gradient passes."""

    @staticmethod
    def forward(ctx, z, values):
        return values.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad, None


class _Tap:
    """Stands around the spike function of one layer: gives it the ramp, and keeps what it answers."""

    def __init__(self, layer, ramp):
        self.layer, self.ramp = layer, ramp
        self.first = self.calls = 0
        self.fired = []
        self.outputs = []
        self.size = 0

    def fire(self, function, z, *args):
        self.calls += 1
        if self.calls <= self.layer.adapter.calls_before:
            return function(z, *args)
        self.size = z.numel()
        index = (self.first + torch.arange(z.numel(), device=z.device)) % len(self.ramp)
        replaced = _Replaced.apply(z, self.ramp[index].to(z.dtype).view(z.shape))
        s = function(replaced, *args)
        self.fired.append((replaced, s))
        return s

    def begin_call(self, module, args):
        self.calls = 0

    def end_call(self, module, args, output):
        self.outputs += [x for x in nested_tensors(output) if x.requires_grad]

    def curves(self):
        """f at the points of this pass, (T, size), in the order of the ramp from `first` on."""
        total = sum(x.sum() for x in self.outputs) if self.outputs else None
        found = []
        for replaced, s in self.fired:
            reaches = total is not None and s.requires_grad
            if reaches:
                (carried,) = torch.autograd.grad(total, s, retain_graph=True, allow_unused=True)
                reaches = carried is not None
            found.append(_gradient(s, replaced) if reaches else torch.zeros_like(replaced))
        return torch.stack([f.detach().flatten() for f in found])


def _foreign_curves(network, layers, ramp, example):
    """{name: (z, f(z) of each time step, or None)}."""
    taps = {name: _Tap(layer, ramp) for name, layer in layers.items()}
    curves = dict.fromkeys(layers)
    while True:
        with ExitStack() as stack:
            for tap in taps.values():
                module = tap.layer.module
                tap.layer.adapter.reset(module)
                tap.fired, tap.outputs = [], []
                stack.callback(tap.layer.adapter.install(module, partial(around, tap.fire)))
                stack.callback(module.register_forward_pre_hook(tap.begin_call).remove)
                stack.callback(module.register_forward_hook(tap.end_call).remove)
            stack.enter_context(held(network))
            _run(network, taps, ramp, example)
            for name, tap in taps.items():
                if tap.fired:
                    part = tap.curves()[:, : len(ramp) - tap.first]
                    before = curves[name]
                    curves[name] = part if before is None else torch.cat([before, part], 1)
        # layers of fewer elements than the ramp has points take it in several passes
        for name, tap in taps.items():
            found = curves[name]
            tap.first = len(ramp) if found is None else found.shape[1]
        taps = {name: tap for name, tap in taps.items() if tap.first < len(ramp)}
        if not taps:
            return {name: (ramp, curve) for name, curve in curves.items()}


def _run(network, taps, ramp, example):
    if callable(example) and not isinstance(example, Tensor):
        example(network)
    elif example is not None:
        network(example.detach().requires_grad_() if example.is_floating_point() else example)
    else:
        for name, tap in taps.items():
            layer = tap.layer
            features = layer.adapter.features(layer.module) or len(ramp)
            T = layer.beta.numel() if layer.policy is not None else 1
            x = ramp.new_zeros(T, -(-len(ramp) // features), features).requires_grad_()
            try:
                layer.adapter.run(layer.module, x)
            except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
                raise A2SGError(
                    f'{name} ({type(layer.module).__name__}) does not run alone on an input of shape '
                    f'{tuple(x.shape)} ({error}); give an input of the network: probe(network, example)'
                ) from error


# the shape that a measured curve equals


def acts_like(z: Tensor, acting: Tensor) -> str | None:
    """The known shape that measured curves equal, up to a factor: its name and width.

    Args:
        z: (n,).
        acting: f(z) of each time step, (T, n).

    Returns:
        such as 'ATan, width 0.5', '2 x TRI, width 0.5 to 1' or 'constant 1'; None if no known shape fits all curves.

    >>> z = torch.linspace(-1, 1, 100, dtype=torch.float64)
    >>> acts_like(z, Sigmoid(4.0)(z, 0.25)[None])
    'Sigmoid, width 0.25'
    """
    z, acting = z.double(), acting.double()
    if acting.max() - acting.min() <= TOLERANCE * acting.abs().max():
        return f'constant {float(acting.mean()):.3g}' if acting.any() else None
    for shape in _KNOWN:
        fits = [_fit(shape, z, f) for f in acting]
        if all(fit is not None for fit in fits):
            widths, factors = zip(*fits)
            # between two points of the ramp, the edge of a window leaves its width and its factor a little open
            factors = tuple(1.0 if abs(factor - 1) < 0.01 else factor for factor in factors)
            parts = [f'{x:.3g}' for x in (min(factors), max(factors), min(widths), max(widths))]
            factor = '' if parts[0] == parts[1] == '1' else f'{_span(*parts[:2])} x '
            return f'{factor}{type(shape).__name__}, width {_span(*parts[2:])}'
    return None


def _span(low, high):
    return low if low == high else f'{low} to {high}'


def _fit(shape, z, f):
    """(width, factor) for which factor * shape(z; width) = f; None if there are none."""
    size = f.abs().max()
    if not size > 0:
        return None
    unit = torch.linspace(0, 1, 128, dtype=z.dtype, device=z.device)
    # the edge of a window lies between the outermost point with f > 0 and the next one
    inside = z.abs()[f != 0].max()
    beyond = z.abs()[z.abs() > inside]
    edge = inside + unit * ((beyond.min() if len(beyond) else 2 * inside) - inside)
    for widths in (edge, torch.logspace(-3, 2, 256, dtype=z.dtype, device=z.device)):
        for _ in range(5):
            curves = torch.stack([shape(z, width) for width in widths])
            factors = (curves @ f) / curves.square().sum(1).clamp(min=1e-300)
            errors = (factors[:, None] * curves - f).abs().amax(1)
            best = int(errors.argmin())
            if errors[best] <= TOLERANCE * size:
                return float(widths[best]), float(factors[best])
            low, high = widths[max(best - 1, 0)], widths[min(best + 1, len(widths) - 1)]
            widths = low + unit * (high - low)
    return None
