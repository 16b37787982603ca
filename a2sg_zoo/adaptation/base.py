"""What every policy is.

The way of a width, from the training loop to the kernel:

    policy.begin(iteration, ...)            says whether this step searches
    neuron.controller(T)                    in the forward pass: a `PolicyController` if the policy is active
    controller.choose(gradients)            in the backward pass: the policy's `widths` answers for all time steps; or,
        controller.width(t, gradient)           from the last time step to the first, its `width` answers for one
    neuron.set_widths(widths)               the controller stores the answers
    fused.backward_pass(..., widths)        the kernel runs once
    controller.finish(u, delta)             the policy's `after` and `observe`

A neuron that advances through a long sequence in chunks has one controller for all of them; `choose` and `finish` are
then called once a chunk, from the last to the first.
"""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from a2sg_zoo.adaptation.controller import PolicyController
from a2sg_zoo.adaptation.observables import joined_statistics, layer_statistics
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import LayerGradients, LocalGradient
from a2sg_zoo.neurons.controllers import NeuronPolicy, widths_between
from a2sg_zoo.registry import SURROGATES
from a2sg_zoo.surrogates import Surrogate


class Layer(Protocol):
    """What a policy knows of a layer of neurons: a `Neuron`, or a `ForeignLayer` of another library.

    Attributes:
        beta: the widths in force, in the unit of the membrane potential; (T,), or (1,).
        surrogate: the shape f(z; beta) that acts in the backward pass.
        policy: the `Policy` that adapts the widths, or None.
        policy_target: what a policy keeps with the layer by this name, see `keep`.
        order: index of the layer in its network.
        time_steps_vary: whether calls differ in their number of time steps.
    """

    beta: Tensor
    surrogate: Surrogate
    policy: NeuronPolicy | None
    policy_target: Tensor
    order: int
    time_steps_vary: bool

    @property
    def v_threshold(self) -> float:
        """Membrane potential at which a neuron fires."""

    @property
    def rate(self) -> float | Tensor:
        """The leak rate r = 1 / tau."""

    @property
    def decay_input(self) -> bool:
        """Whether the input is averaged."""

    @property
    def bypasses_controller(self) -> bool:
        """Whether the layer may compute its spikes without a controller."""

    def set_widths(self, widths: float | Tensor) -> None:
        """Stores the widths to use from now on."""

    def keep(self, name: str, value: Tensor) -> None:
        """Keeps a tensor of a policy with the layer; the name begins with 'policy_'."""


class Policy:
    """Decides the surrogate and the widths of every neuron of a network.

    To add a policy, subclass, override `width` or `after`, and register it with `@POLICIES.register_module()`.

    Args:
        surrogate: a `Surrogate` or its config: the shape that all neurons take.

    Attributes:
        searching: whether widths may change in this iteration.
        observing: whether statistics are taken in this iteration, into `records`.
        records: {neuron: {statistic: tensor}} of the latest observed iteration.
        layers: {neuron: name} of the neurons that the policy works on.
    """

    # number of neighbouring time steps that share a width: `width` is asked at each T that it divides, and at the last
    steps_per_width = 1
    # whether `width` looks at the gradient, and not only at the membrane potential
    needs_gradient = True
    # whether a forward pass may begin a step by itself, see `begin_by_itself`
    automatic = True

    def __init__(self, surrogate: Surrogate | dict) -> None:
        self.surrogate = surrogate if isinstance(surrogate, Surrogate) else SURROGATES.build(surrogate)
        self.searching = self.adapts
        self.observing = False
        self.records: dict[Layer, dict[str, Tensor]] = {}
        self.layers: dict[Layer, str] = {}
        self._asked: set[Layer] | None = None
        self._called: set[Layer] = set()
        self._begun = False

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.surrogate})'

    def enlist(self, neurons: dict[str, Layer]) -> None:
        """Notes which neurons the policy works on, {name: neuron}; `attach` calls it.

        Raises:
            ConfigError: the policy chooses a width for each time step, and a neuron has no fixed number of them.
        """
        varying = [name for name, neuron in neurons.items() if neuron.time_steps_vary]
        if varying and self.chooses_widths:
            raise ConfigError(
                f'{type(self).__name__} chooses a width for each time step, but {", ".join(varying)} carry their '
                'membrane potentials from one sample of the batch to the next, so they see T times the batch size '
                'time steps. Set model.backbone.carry_over=False, or use a policy with fixed widths'
            )
        self.layers = {neuron: name for name, neuron in neurons.items()}
        self._asked, self._called = set(), set()
        self._begun, self.searching, self.observing = False, self.adapts, False

    def adopt(self, neuron: Layer) -> None:
        """Gives a neuron its surrogate, its initial widths, and whatever else the policy needs; `attach` calls it.

        Widths that the neuron had before are lost, so a checkpoint is to be loaded afterwards.
        """
        neuron.surrogate = self.surrogate
        neuron.set_widths(self.surrogate.beta)

    def prepare(self, model: nn.Module, data_batch: Any, iteration: int) -> None:
        """Called before `begin`, for policies that need more than the backward pass shows.

        Args:
            model: the network.
            data_batch: the raw batch that it trains on next.
            iteration: as for `begin`.
        """

    def begin(
        self, iteration: int, micro_batch: int = 0, observe: bool = False, seed: int = 0, progress: float = 0.0
    ) -> None:
        """Starts a training step; to be called before each forward pass.

        Args:
            iteration: number of optimiser steps done so far.
            micro_batch: index of the micro-batch within the optimiser step.
            observe: whether to take statistics.
            seed: of the run. A search draws from (seed, iteration) alone, so a resumed run repeats it.
            progress: share of the training that is done, from 0 to 1.

        Raises:
            ConfigError: in the first training step in which widths may change, some neurons did not ask this policy,
                because their class has a `forward` of its own, or because the network did not call them. The message
                names these neurons.
        """
        self.check_asked()
        self._begun = True
        self.observing = observe
        self.searching = self.adapts
        if observe:
            self.records = {}

    def begin_by_itself(self, forward_pass: int) -> None:
        """Starts a training step if the training loop does not: `attach` has each forward pass of a network call it.

        Args:
            forward_pass: number of forward passes done so far.

        Raises:
            ConfigError: this policy needs `prepare`, or the progress of the training.
        """
        if self._begun:
            return
        if not self.automatic:
            raise ConfigError(
                f'{type(self).__name__} needs to know more of the training: call its prepare(model, data_batch, '
                'iteration) and begin(iteration, progress=...) before each forward pass'
            )
        self.begin(forward_pass)
        self._begun = False

    @property
    def chooses_widths(self) -> bool:
        """Whether this policy has a method `width` of its own."""
        return type(self).width is not Policy.width

    @property
    def looks_back(self) -> bool:
        """Whether this policy has a method `after` of its own."""
        return type(self).after is not Policy.after

    @property
    def adapts(self) -> bool:
        """Whether this policy may change widths at all."""
        return self.chooses_widths or self.looks_back

    @property
    def active(self) -> bool:
        """Whether the backward passes of this iteration ask this policy; if not, widths stand still."""
        return self.observing or self.searching

    def controller(self, neuron: Layer) -> PolicyController:
        """The controller for one backward pass of a neuron."""
        if self._asked is not None:
            self._called.add(neuron)
        return PolicyController(self, neuron)

    def width(self, neuron: Layer, t: int, gradient: LocalGradient, later: Tensor | None) -> Tensor:
        """The width of one layer at one time step. It stores nothing.

        A backward pass calls it in iterations where `searching` is true, from the last time step to the first.

        Args:
            neuron: the layer; `neuron.beta` holds the widths in force.
            t: the time step, from 0.
            gradient: what delta[t] follows from, for all elements of the layer or a sample of them (see `runs`). Its c
                and d are None at the last time step, and everywhere if the policy does not look at gradients.
            later: the width that was chosen for time step t + 1; None at the last time step.

        Returns:
            a scalar tensor.
        """
        return neuron.beta[t if neuron.beta.numel() > 1 else 0]

    def widths(self, neuron: Layer, gradients: LayerGradients) -> Tensor | None:
        """The widths of all time steps at once, for policies that know a faster way to what `width` answers.

        Args:
            neuron: see `width`.
            gradients: of the layer or of a chunk of its sequence, for all elements or a sample of them.

        Returns:
            (T,), or None: then `width` is asked for each time step.
        """
        return None

    def runs(self, N: int, device: torch.device) -> tuple[Tensor, int] | None:
        """Which of the N elements of a time step `width` looks at: indices of runs of neighbours, and their length.

        None for all of them.
        """
        return None

    def remember(self, neuron: Layer, finite: Tensor) -> None:
        """Called when the widths of a backward pass are stored, for policies that learn from more than one search.

        Args:
            neuron: the layer.
            finite: whether its gradient has neither NaN nor infinity, a boolean scalar tensor. If not, the widths in
                force stay, and so should all that is kept of earlier searches.
        """

    def after(self, neuron: Layer, u: Tensor) -> Tensor | None:
        """Called at the end of a layer's backward pass in iterations where `searching` is true.

        Args:
            neuron: the layer.
            u: membrane potentials, (T, N).

        Returns:
            the widths from the next backward pass on, or None to leave them as they are.
        """
        return None

    def observe(
        self, neuron: Layer, u: Tensor, delta: Tensor, start: int | None = None, later: Tensor | None = None
    ) -> None:
        """Takes the statistics of one layer into `records`.

        A layer that advances in chunks calls it for each of them, from the last to the first, and the statistics are
        joined.

        Args:
            neuron: the layer.
            u: membrane potentials, (T, N).
            delta: dL/du, (T, N).
            start: for a chunk of a sequence, the index of its first time step, from 0.
            later: delta of the time step after the last one, (N,), where the sequence goes on.
        """
        beta = widths_between(neuron.beta, start or 0, len(u))
        found = layer_statistics(u, delta, neuron.v_threshold, beta, later)
        known = None if later is None else self.records.get(neuron)
        self.records[neuron] = found if known is None else joined_statistics(found, known)

    def check_asked(self, trained: bool = False) -> None:
        """Refuses neurons that did not ask this policy in the first training step in which widths may change.

        Neurons that no gradient reached are not among them, nor are neurons in evaluation mode.

        Args:
            trained: whether there was such a step; by default there was if any neuron asked.

        Raises:
            ConfigError: see `begin`.
        """
        if self._asked is None or not self.searching or not (self._asked or trained):
            return
        layers = [neuron for neuron in self.layers if neuron not in self._asked]
        modules: dict[Layer, Any] = {neuron: getattr(neuron, 'module', neuron) for neuron in layers}
        shown = {neuron: f'{self.layers[neuron]} ({type(module).__name__})' for neuron, module in modules.items()}
        left_out = [shown[neuron] for neuron in modules if neuron.bypasses_controller]
        unused = [shown[neuron] for neuron, m in modules.items() if m.training and neuron not in self._called]
        self._asked, self._called = None, set()
        if left_out:
            raise ConfigError(
                f'{type(self).__name__} has no influence on {", ".join(left_out)}: the forward method of this class '
                'asks no controller for the widths. Call super().forward(x) in it (for neurons of other libraries, the '
                'spike function that its adapter names), or give the network another neuron'
            )
        if unused:
            raise ConfigError(
                f'{type(self).__name__} has no influence on {", ".join(unused)}: the network does not call it. Call '
                'the module itself, neuron(x), with the default backend; take it out of the network if it is not '
                'used; or attach the part of the network that is trained'
            )

    def refuse_replica(self, module: nn.Module) -> None:
        """Refuses the replicas of `torch.nn.DataParallel`, which are thrown away with the widths found in them.

        Raises:
            ConfigError: the module is such a replica, and this policy adapts widths or takes statistics.
        """
        if getattr(module, '_is_replica', False) and (self.adapts or self.observing):
            raise ConfigError(
                f'{type(self).__name__} cannot work on the replicas that torch.nn.DataParallel makes of '
                f'{type(module).__name__}: they are thrown away with the widths found in them. Use '
                'torch.nn.parallel.DistributedDataParallel, with one process for each device'
            )

    def note_asked(self, neuron: Layer) -> None:
        """Notes that a backward pass of this neuron asked the policy."""
        if self._asked is not None:
            self._asked.add(neuron)


def generator(device: torch.device, *numbers: int) -> torch.Generator:
    """A random generator that depends on the given integers alone, in every version of Python and on every machine."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, 'little') >> 1)
