"""The module that all spiking neurons with a surrogate window derive from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import backends
from a2sg_zoo.neurons.controllers import Controller, FixedWidths, NeuronPolicy, Watched
from a2sg_zoo.neurons.dynamics import Dynamics, wide
from a2sg_zoo.neurons.multistep import multistep, multistep_potentials, multistep_reference
from a2sg_zoo.neurons.state import NeuronState, require_currents, shapes_of
from a2sg_zoo.registry import SURROGATES
from a2sg_zoo.surrogates import Surrogate
from a2sg_zoo.utils.checks import integer, number, positive


class Neuron(nn.Module):
    """A layer of spiking neurons over all time steps: (T, B, ...) of currents in, spikes of that shape out.

    The state of the neurons lives in the call, not on the module: nothing has to be reset between batches. The width
    beta of the surrogate's window is a buffer with one element a time step, so it is saved, restored and moved with the
    weights. A neuron that does not know its number of time steps has one element, which serves all steps, until a
    policy adapts it.

    Args:
        surrogate: a `Surrogate` or its config; the shape of the gradient.
        v_threshold: membrane potential at which a neuron fires.
        v_reset: membrane potential before the first input, and after a spike under a hard reset.
        reset: 'hard' (to v_reset) or 'soft' (v_threshold is subtracted).
        detach_reset: whether the backward pass treats the spike in the reset as a constant.
        T: number of time steps, if it is known; a backbone sets it for all its neurons.

    Attributes:
        beta: the widths in force, in the unit of the membrane potential; (T,), or (1,).
        time_steps: number of time steps, None if it is not known.
        time_steps_vary: whether calls differ in their number of time steps, so `set_time_steps` leaves the neuron out.
        policy: the `Policy` that adapts the widths, or None. Copies and pickled files of the neuron have None.
        on_call: called with the neuron when a sequence begins in training, or None. `attach` sets it.
        any_length: names of the vectors that take the length that a checkpoint gives them.
        through_time: whether gradients reach u[t] from later time steps. Where they do not, a search works with c = 0.
        backend: how the neuron computes: `compute_fused` or `compute_reference`, see `use_backend`.

    >>> import torch
    >>> from a2sg_zoo.neurons import LIF
    >>> neuron = LIF(tau=2.0, T=4)
    >>> spikes = neuron(torch.rand(4, 8, 16))  # 4 time steps, 8 samples, 16 features
    >>> spikes.shape
    torch.Size([4, 8, 16])
    """

    any_length = ('beta',)
    decay_input = False
    through_time = True
    beta: Tensor
    order: int
    policy_target: Tensor
    time_steps: int | None
    watcher: Callable[[Tensor, Tensor], None] | None

    def __init__(
        self,
        surrogate: Surrogate | dict = dict(type='TRI'),
        v_threshold: float = 1.0,
        v_reset: float = 0.0,
        reset: str = 'hard',
        detach_reset: bool = True,
        T: int | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if reset not in ('hard', 'soft'):
            raise ValueError(f"{name}: reset must be 'hard' or 'soft', got {reset!r}")
        v_reset, v_threshold = number('v_reset', v_reset, self), positive('v_threshold', v_threshold, self)
        if v_reset >= v_threshold:
            raise ValueError(f'{name}: v_reset = {v_reset} must lie below v_threshold = {v_threshold}')
        self.dynamics = Dynamics(v_threshold, v_reset, self.decay_input, reset == 'hard', bool(detach_reset))
        self.surrogate = surrogate if isinstance(surrogate, Surrogate) else SURROGATES.build(surrogate)
        self.policy: NeuronPolicy | None = None
        self.on_call: Callable[[Neuron], None] | None = None
        self.backend = backends.compute_fused
        self.held, self.potentials, self.watcher = False, None, None
        self.time_steps, self.time_steps_vary = None, False
        self.register_buffer('beta', torch.tensor([self.surrogate.beta]))
        self.register_load_state_dict_pre_hook(_fit_widths)
        if T is not None:
            self.set_time_steps(T)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickled file holds: widths that stand still, because no training loop tells their policy."""
        return {**vars(self), 'policy': None, 'on_call': None}

    @property
    def v_threshold(self) -> float:
        """Membrane potential at which a neuron fires."""
        return self.dynamics.v_threshold

    @property
    def rate(self) -> float | Tensor:
        """The leak rate r = 1 / tau; 0 without a leak."""
        return 0.0

    @property
    def bypasses_controller(self) -> bool:
        """Whether the class has a `forward` of its own, which may ask no controller."""
        return type(self).forward is not Neuron.forward

    def keep(self, name: str, value: Tensor) -> None:
        """Keeps a tensor of a policy with the neuron, as a buffer that is saved with the weights.

        Args:
            name: begins with 'policy_', so a network without that policy can load the weights.
            value: the tensor.
        """
        self.register_buffer(name, value)

    def set_time_steps(self, T: int) -> None:
        """Gives the widths one element a time step.

        Raises:
            ConfigError: T is no integer of at least 1.
        """
        self.time_steps = integer('T', T, self)
        if self.beta.numel() == 1:
            self.beta = self.beta.expand(T).clone()

    def set_widths(self, widths: float | Tensor) -> None:
        """Stores the widths to use from now on: a number for all time steps, or a tensor of one element or T.

        Raises:
            ConfigError: there are widths for another number of time steps than this neuron has.
        """
        if not isinstance(widths, Tensor):
            widths = self.beta.new_full((self.time_steps or 1,), widths)
            if widths.shape != self.beta.shape:
                self.beta = widths
                return
        if widths.numel() in (1, self.beta.numel()):
            self.beta.copy_(widths)  # in place, because copies and wrappers of the network know this tensor
        elif self.beta.numel() == 1:
            self.beta = widths.to(self.beta)
        else:
            raise self._wrong_time_steps(widths.numel())

    def controller(self, T: int) -> Controller:
        """What decides the widths in the backward pass of a call over T time steps."""
        self._note_call()
        beta = self.beta
        if beta.numel() not in (1, T):
            self._refuse_time_steps(T)
            beta = beta[-1:]
        return self._controller(beta)

    def controller_from(self, start: int, T: int, controller: Controller | None = None) -> Controller:
        """What decides the widths in the backward pass of a sequence that goes on from time step `start` to T.

        Args:
            start: index of the next time step, from 0.
            T: number of time steps of the sequence so far, with those that follow.
            controller: that of the time steps before `start`, if there is one.
        """
        if controller is None and start == 0:
            self._note_call()
        if 1 < self.beta.numel() < T:
            self._refuse_time_steps(T)
        controller = controller or self._controller(self.beta)
        controller.extend(start, T)
        return controller

    @property
    def _adapts(self):
        return self.policy is not None and self.policy.active and self.training and not self.held

    def _note_call(self):
        if self.on_call is not None and self.training and not self.held:
            self.on_call(self)

    def _controller(self, beta):
        controller = self.policy.controller(self) if self._adapts else FixedWidths(self.surrogate, beta)
        return controller if self.watcher is None else Watched(controller, self.watcher)

    def _refuse_time_steps(self, T):
        searches = self.policy is not None and self._adapts and self.policy.searching
        if self.training and (searches or bool((self.beta != self.beta[-1]).any())):
            raise self._wrong_time_steps(T)

    def _wrong_time_steps(self, T):
        return ConfigError(
            f'this {type(self).__name__} has a width of the surrogate window for each of T = {self.beta.numel()} time '
            f'steps, but it is trained with T = {T}; train with T = {self.beta.numel()}, or start with new widths: '
            f'neuron.set_time_steps({T}), then neuron.set_widths({self.surrogate.beta:g})'
        )

    def forward(self, x: Tensor) -> Tensor:
        """Spikes of the layer.

        Args:
            x: input current, (T, B, ...), floating point.

        Returns:
            0 or 1, of the shape and dtype of x.

        Raises:
            ConfigError: x has fewer than two axes, no time step or integers, or the widths were adapted for another
                number of time steps.
        """
        require_currents(self, x)
        return self.backend(self, x)

    def advance(self, x: Tensor, state: Sequence[Tensor] | None = None) -> tuple[Tensor, NeuronState]:
        """Spikes of some time steps of a sequence, and the state for the next ones.

        Spikes, gradients and the widths that a policy chooses are those of one call over the whole sequence: in the
        backward pass, the gradient of the state brings what a search needs to know of the time steps that follow.
        Under a policy that searches, the number of time steps of the whole sequence should be known to the neuron
        (`set_time_steps`), and `policy.begin` is called once for the sequence.

        Args:
            x: input current of the next time steps, (T, B, ...), floating point, T >= 1.
            state: what the call for the time steps before returned; None at the start of a sequence. `state.detach()`
                ends the backward pass there. A plain tuple of tensors does as well where all time steps have the same
                width and no policy searches.

        Returns:
            (s, state): spikes of the shape of x; and a tuple with one tensor, (B, ...), in float32 at least:
            q[t] = (1 - r) v[t], plus r v_reset if the input is averaged. The next step computes u = q + gain x.

        Raises:
            ConfigError: x has fewer than two axes, no time step or integers, the state does not fit x, or the widths
                were adapted for fewer time steps.

        >>> import torch
        >>> from a2sg_zoo.neurons import LIF
        >>> neuron, x = LIF(), torch.rand(8, 2, 3)
        >>> first, state = neuron.advance(x[:5])
        >>> last, state = neuron.advance(x[5:], state)
        >>> torch.equal(torch.cat([first, last]), neuron(x))
        True
        """
        require_currents(self, x)
        return backends.advance(self, x, None if state is None else self._checked_state(state, x))

    def _checked_state(self, state, x, size=1):
        name = type(self).__name__
        if len(state) != size or any(not isinstance(q, Tensor) or q.shape != x.shape[1:] for q in state):
            raise ConfigError(
                f'{name}.advance: the state must be a tuple of {size} tensors of shape {tuple(x.shape[1:])}, that of '
                f'one time step of x, got {shapes_of(state)}; pass the state that the last call returned, and None for '
                'a new sequence'
            )
        expected = wide(x[:0]).dtype
        if any(q.dtype != expected for q in state):
            raise ConfigError(
                f'{name}.advance: the state has the type {state[0].dtype}, but x of the type {x.dtype} needs {expected}'
            )
        if isinstance(state, NeuronState):
            return state
        if torch.is_grad_enabled() and self.training and (self._adapts or bool((self.beta != self.beta[-1]).any())):
            raise ConfigError(
                f'{name}.advance: the widths differ from time step to time step, and a plain tuple does not tell at '
                'which time step it was taken; pass the state as advance returned it, or state.detach()'
            )
        return NeuronState(state, 0)

    def compute(self, x: Tensor, controller: Controller) -> tuple[Tensor, Tensor | None]:
        """The spikes under the widths that a controller chooses: one kernel with a hand-written backward pass.

        Args:
            x: input current, (T, B, ...).
            controller: decides the widths in the backward pass.

        Returns:
            (s, u), where u is None unless potentials are recorded; both of the shape and dtype of x.
        """
        if self.potentials is None:
            return multistep(x, self.rate, self.dynamics, controller), None
        return multistep_potentials(x, self.rate, self.dynamics, controller)

    def compute_reference(
        self, x: Tensor, surrogate: Callable[[Tensor, Tensor], Tensor], beta: float | Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The spikes in plain autograd, under widths that are given; see `multistep_reference`.

        Args:
            x: input current, (T, B, ...).
            surrogate: f(z; beta).
            beta: a number, or a tensor of one element or T.

        Returns:
            (s, u), where u may be None unless potentials are recorded; both of the shape and dtype of x.
        """
        s, u = multistep_reference(x, self.rate, self.dynamics, surrogate, beta, potentials=True)
        return s, u

    def extra_repr(self) -> str:
        return f'{self.surrogate}, {self.dynamics}'


def _fit_widths(neuron: Neuron, state_dict: dict[str, Tensor], prefix: str, *rest: object) -> None:
    """Makes the widths of a checkpoint and of a neuron fit each other, before the neuron loads them."""
    # a checkpoint may have one width for all time steps, or be of another number of time steps
    beta = state_dict.get(f'{prefix}beta')
    if beta is not None and beta.dim() == 1:
        if beta.numel() == 1 and neuron.time_steps:
            beta = state_dict[f'{prefix}beta'] = beta.expand(neuron.time_steps)
        if beta.shape != neuron.beta.shape:
            neuron.beta = neuron.beta.new_empty(beta.shape)
    # what a policy keeps with the neuron means nothing without that policy, and weights trained without it lack it
    kept = {name: x for name, x in neuron.named_buffers(recurse=False) if name.startswith('policy_')}
    for name, value in kept.items():
        state_dict.setdefault(f'{prefix}{name}', value)
    for key in [key for key in state_dict if key.startswith(f'{prefix}policy_')]:
        name = key[len(prefix) :]
        if name not in kept:
            del state_dict[key]
        elif kept[name].shape != state_dict[key].shape:
            setattr(neuron, name, kept[name].new_empty(state_dict[key].shape))


def named_neurons(model: nn.Module) -> dict[str, Neuron]:
    """{qualified name: neuron} of all spiking layers of a network, in the order of definition."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Neuron)}


def set_time_steps(model: nn.Module, T: int | None = None) -> None:
    """Tells the neurons of a network their number of time steps, where they do not know it.

    Their widths get one element a time step, and neurons such as `PSN` and `GLIF` get their parameters for each time
    step. So it belongs before an optimizer is built, and before weights are loaded. A network that is built from a
    config has had it.

    Args:
        model: network.
        T: number of time steps; by default `model.backbone.T`. A network without that is left as it is.

    Raises:
        ConfigError: T is no integer of at least 1.
    """
    T = getattr(getattr(model, 'backbone', None), 'T', None) if T is None else T
    if T is None:
        return
    for neuron in named_neurons(model).values():
        if neuron.time_steps is None and not neuron.time_steps_vary:
            neuron.set_time_steps(T)
