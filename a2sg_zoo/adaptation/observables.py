"""The statistics of the method: the variation of local gradients over a layer, and their consistency over time.

delta[t] = dL/du[t] is the local gradient of one layer at time step t. Every statistic runs over all N elements of a
time step (batch and features), with the population variance. Sums are taken in float32 at least. A statistic that has
no value, because no gradient reaches the layer, is NaN.

Source: A2SG (ICML 2026, arXiv 2606.11236).
"""

import torch
from torch import Tensor

from a2sg_zoo.neurons.dynamics import wide


def spatial_gradient_variation(delta: Tensor) -> Tensor:
    """SGV = Var(delta) / Mean(|delta|) of one time step, a scalar tensor. It has the unit of delta.

    Args:
        delta: any shape.

    >>> import torch
    >>> spatial_gradient_variation(torch.tensor([1.0, -1.0, 3.0, -3.0]))
    tensor(2.5000)
    """
    delta = wide(delta)
    return delta.var(correction=0) / delta.abs().mean()


def coefficient_of_variation(delta: Tensor) -> Tensor:
    """CV = Std(delta) / Mean(|delta|) of one time step, a scalar tensor without a unit.

    Args:
        delta: any shape.

    >>> import torch
    >>> coefficient_of_variation(torch.tensor([2.0, -2.0]))
    tensor(1.)
    """
    delta = wide(delta)
    return delta.std(correction=0) / delta.abs().mean()


def temporal_gradient_consistency(delta: Tensor, delta_next: Tensor) -> Tensor:
    """TGC[t] = cos(delta[t], delta[t+1]), one cosine over all N elements, a scalar tensor.

    Args:
        delta: dL/du[t], any shape.
        delta_next: dL/du[t+1], of the same shape.

    >>> import torch
    >>> temporal_gradient_consistency(torch.tensor([1.0, 0.0]), torch.tensor([3.0, 4.0]))
    tensor(0.6000)
    """
    a, b = wide(delta).flatten(), wide(delta_next).flatten()
    return a.dot(b) / (a.norm() * b.norm())


def layer_statistics(
    u: Tensor, delta: Tensor, v_threshold: float, beta: Tensor | None, later: Tensor | None = None
) -> dict[str, Tensor | None]:
    """The statistics of one layer in one backward pass.

    Args:
        u: membrane potentials, (T, N).
        delta: dL/du, (T, N).
        v_threshold: the threshold of the layer.
        beta: the widths in force, (T,) or one; None if they are not known.
        later: delta of the time step after the last one, (N,), if these time steps are a part of a sequence; tgc then
            has T elements.

    Returns:
        beta (T,), sgv of the last time step, tgc (T - 1,), cv (T,), rate of spikes over all time steps, and u_mean and
        u_std (T,).
    """
    T, u = len(delta), wide(u)
    following = [*delta[1:], *([] if later is None else [later])]
    tgc = [temporal_gradient_consistency(a, b) for a, b in zip(delta, following)]
    return dict(
        beta=None if beta is None else beta.expand(T).clone(),
        sgv=spatial_gradient_variation(delta[-1]),
        tgc=torch.stack(tgc) if tgc else delta.new_empty(0),
        cv=torch.stack([coefficient_of_variation(d) for d in delta]),
        rate=(u >= v_threshold).to(u.dtype).mean(),
        u_mean=u.mean(1),
        u_std=u.std(1, correction=0),
    )


def joined_statistics(first: dict[str, Tensor | None], second: dict[str, Tensor | None]) -> dict[str, Tensor | None]:
    """The statistics of two parts of a sequence as those of the whole.

    Args:
        first: of the earlier time steps, from `layer_statistics` with the delta of the step after them.
        second: of the time steps that follow.
    """
    joined: dict[str, Tensor | None] = {}
    n, m = (len(part['u_mean']) for part in (first, second))
    for key, a in first.items():
        b = second[key]
        if a is None or b is None:
            joined[key] = None
        elif key == 'sgv':
            joined[key] = b
        elif key == 'rate':
            joined[key] = (n * a + m * b) / (n + m)
        else:
            joined[key] = torch.cat([a, b])
    return joined
