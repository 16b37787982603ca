"""What a layer's backward pass starts from, for whoever chooses the widths of its windows."""

from collections.abc import Callable

from torch import Tensor

from a2sg_zoo.neurons import fused
from a2sg_zoo.neurons.dynamics import Dynamics, LocalGradient, local_gradients, sampled_runs


class LayerGradients:
    """What a layer's backward pass starts from. A controller chooses the widths by it.

    Attributes:
        u: membrane potentials, (T, N), for the N elements of a time step (batch and features, in the order of memory).
        grad_s: dL/ds, (T, N).
        grad_u: the gradient that reaches u directly, (T, N), or None.
        rate: the leak rate, see `multistep`.
        dynamics: the constants of the layer.
        later: delta of the time step after the last one, (N,), where the sequence goes on; None at its end.
        start: index in the sequence, from 0, of the first of the T time steps.
    """

    def __init__(
        self,
        u: Tensor,
        grad_s: Tensor,
        grad_u: Tensor | None,
        rate: float | Tensor,
        dynamics: Dynamics,
        later: Tensor | None = None,
        start: int = 0,
    ) -> None:
        self.u, self.grad_s, self.grad_u, self.rate, self.dynamics = u, grad_s, grad_u, rate, dynamics
        self.later, self.start = later, start

    def sampled(self, runs: Tensor, length: int) -> 'LayerGradients':
        """The same for some of the N elements: runs of `length` neighbours in memory. runs: their indices, (n,)."""
        u, grad_s = sampled_runs(self.u, runs, length), sampled_runs(self.grad_s, runs, length)
        grad_u = None if self.grad_u is None else sampled_runs(self.grad_u, runs, length)
        later = None if self.later is None else sampled_runs(self.later, runs, length)
        return LayerGradients(u, grad_s, grad_u, self.rate, self.dynamics, later, self.start)

    def between(self, start: int, stop: int, later: Tensor | None) -> 'LayerGradients':
        """The same for the time steps from `start` to before `stop`.

        Args:
            start, stop: indices into these T time steps.
            later: delta of the time step `stop`, (N,); None at the end of the sequence.
        """
        grad_u = None if self.grad_u is None else self.grad_u[start:stop]
        return LayerGradients(
            self.u[start:stop], self.grad_s[start:stop], grad_u, self.rate, self.dynamics, later, self.start + start
        )

    def first_delta(self, surrogate: Callable[[Tensor, Tensor], Tensor], beta: Tensor, T: int) -> Tensor:
        """delta[1], (N,), under one width for all of these time steps, which the sequence goes on after.

        Args:
            surrogate: f(z; beta).
            beta: the width, a tensor of one element.
            T: number of time steps of the whole sequence.
        """
        args = self.u, self.grad_s, self.grad_u, self.rate, self.dynamics, surrogate, beta, self.later
        return fused.backward_chunk(*args, T)[1]

    def scan(self, shape: Callable[[int, LocalGradient], Tensor]) -> list[Tensor]:
        """Goes from t = T - 1 down to 0 with `shape(t, LocalGradient)`, which answers with f(z; beta[t]).

        Returns:
            [delta[1], ..., delta[T]].
        """
        return local_gradients(self.u, self.grad_s, self.grad_u, self.rate, self.dynamics, shape, self.later)
