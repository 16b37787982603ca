"""A layer of neurons of another library, in the role that our own neurons have for a policy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from a2sg_zoo.adaptation.foreign.adapter import Adapter
from a2sg_zoo.adaptation.foreign.gate import Gate
from a2sg_zoo.compat import backward_in_progress
from a2sg_zoo.errors import A2SGError, ConfigError
from a2sg_zoo.neurons.controllers import Controller, NeuronPolicy
from a2sg_zoo.neurons.deferred import Search
from a2sg_zoo.neurons.dynamics import wide
from a2sg_zoo.surrogates import TRI, Surrogate


class ForeignLayer:
    """What a policy knows of a layer of neurons of another library.

    Args:
        name: qualified name of the neuron in its network.
        module: the neuron.
        adapter: its adapter.

    Attributes:
        beta: the widths in force, in the unit of the membrane potential; (T,), or (1,) before the first search.
        surrogate: the shape f(z; beta) that acts in the backward pass.
        policy: the `Policy` that adapts the widths.
        order: index of the layer in its network.
        v_threshold: the threshold when the network was attached to; the mean if there are several.
        fused: whether our fused neuron computes the layer, see `attach`.
    """

    time_steps_vary = False
    policy_target: Tensor

    def __init__(self, name: str, module: nn.Module, adapter: Adapter) -> None:
        self.name, self.module, self.adapter = name, module, adapter
        self.surrogate: Surrogate = TRI()
        self.beta = torch.ones(1)
        self.policy: NeuronPolicy | None = None
        self.order = 0
        self.v_threshold = float(torch.as_tensor(adapter.threshold(module)).detach().float().mean())
        # of the current forward pass; `calls` counts the calls of the spike function in a call of the neuron
        self.trace: Trace | None = None
        self.calls = 0
        self.called = self.fired = self.fused = self.held = False
        self._kept: list[str] = []

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.name}: {type(self.module).__name__}, {self.surrogate})'

    @property
    def rate(self) -> float | Tensor:
        """The leak rate r = 1 / tau, if the neuron learns it; else 0."""
        leak = self.adapter.leak(self.module)
        return 0.0 if leak is None else leak[0]

    @property
    def decay_input(self) -> bool:
        """Whether the input is averaged; known only of neurons that learn their leak rate."""
        leak = self.adapter.leak(self.module)
        return leak is not None and leak[1]

    @property
    def bypasses_controller(self) -> bool:
        """Whether the neuron was called and never called the spike function that `attach` gave it."""
        return self.called and not self.fired

    def set_widths(self, widths: float | Tensor) -> None:
        """Stores the widths to use from now on: a number for all time steps, or a tensor of one element or T.

        Raises:
            ConfigError: the layer was adapted for another number of time steps.
        """
        if not isinstance(widths, Tensor):
            self.beta = self.beta.new_full((1,), widths)
        elif widths.numel() in (1, self.beta.numel()):
            self.beta.copy_(widths)
        elif self.beta.numel() == 1:
            self.beta = widths.to(self.beta)
        else:
            raise self.wrong_time_steps(widths.numel())

    def width_at(self, t: int, T: int) -> Tensor:
        """The width in force at time step t of T, a tensor of one element.

        Raises:
            ConfigError: the layer has different widths for another number of time steps.
        """
        if self.beta.numel() == 1 or self.beta.numel() == T:
            return self.beta[t if self.beta.numel() > 1 else 0]
        if self.module.training and bool((self.beta != self.beta[-1]).any()):
            raise self.wrong_time_steps(T)
        return self.beta[-1]

    def widths_for(self, T: int) -> Tensor:
        """The widths in force for T time steps, of one element or T.

        Raises:
            ConfigError: see `width_at`.
        """
        return self.beta if self.beta.numel() in (1, T) else self.width_at(0, T)[None]

    def wrong_time_steps(self, T: int) -> ConfigError:
        """The error for a forward pass of another number of time steps than the widths were adapted for."""
        return ConfigError(
            f'{self.name} ({type(self.module).__name__}) has a width for each of T = {self.beta.numel()} time steps, '
            f'but it ran T = {T}; run the same number of time steps in every training step, or detach the network and '
            'attach to it again'
        )

    def refusal(self, reason: str, kind: type[A2SGError] = A2SGError) -> A2SGError:
        """The error for a layer that a search cannot work on."""
        return kind(f'{self.name} ({type(self.module).__name__}): {reason}')

    def keep(self, name: str, value: Tensor) -> None:
        """Keeps a tensor of the policy with the layer, as an attribute that is saved with the widths."""
        setattr(self, name, value)
        self._kept.append(name)

    def kept(self) -> dict[str, Tensor]:
        """{name: tensor} of the widths and of what the policy keeps with the layer."""
        return {name: getattr(self, name) for name in ('beta', *self._kept)}

    def move_to(self, u: Tensor) -> None:
        """Gives the widths, and what the policy keeps with them, the device of u and at least its precision."""
        dtype = torch.promote_types(torch.float32, u.dtype)
        if (self.beta.device, self.beta.dtype) != (u.device, dtype):
            for name, value in self.kept().items():
                setattr(self, name, value.to(u.device, dtype))


class Trace(Search):
    """The time steps of one layer in one forward pass.

    Args:
        layer: the layer.
        forward_pass: number of the forward pass of the network.
        controller: asks the policy; None if widths stand still.
    """

    layer: ForeignLayer

    def __init__(self, layer: ForeignLayer, forward_pass: int, controller: Controller | None) -> None:
        super().__init__(layer, controller)
        self.forward_pass = forward_pass
        self.held = layer.held
        # the second forward pass of activation checkpointing runs within a backward pass
        self.backward_pass = backward_in_progress()
        self.gate: Gate | None = None
        self.ended = False
        self._delta: Tensor | None = None

    def step_back(self, t: int, z: Tensor, g: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """`step` with the delta[t+1] that the last call gave."""
        self._delta, share = self.step(t, z, g, c, self._delta)
        return self._delta, share

    def pass_over(self, c: Tensor | None) -> None:
        """A time step with spikes that the loss does not depend on: delta[t] = c."""
        self._delta = None if c is None else wide(c)

    def end(self) -> None:
        super().end()
        self.ended, self._delta = True, None
