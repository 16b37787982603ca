"""What the method watches: the variation of local gradients over a layer, and their consistency over time.

delta[t] = dL/du[t] is the local gradient of one layer at time step t; every statistic runs over all N of its
elements (batch and features), with the population variance. Sums are taken in float32 at least. A statistic
without a value (a layer that no gradient reaches) is NaN here; who prints it decides what to say.

Source: A2SG (ICML 2026, arXiv 2606.11236).
"""

from a2sg_zoo.neurons.dynamics import wide


def spatial_gradient_variation(delta):
    """SGV = Var(delta) / Mean(|delta|) of one time step. Scales with delta: it has delta's unit. Scalar tensor."""
    delta = wide(delta)
    return delta.var(correction=0) / delta.abs().mean()


def coefficient_of_variation(delta):
    """CV = Std(delta) / Mean(|delta|) of one time step: dimensionless. Scalar tensor."""
    delta = wide(delta)
    return delta.std(correction=0) / delta.abs().mean()


def temporal_gradient_consistency(delta, delta_next):
    """TGC[t] = cos(delta[t], delta[t+1]), one cosine over all N elements. Scalar tensor."""
    a, b = wide(delta).flatten(), wide(delta_next).flatten()
    return a.dot(b) / (a.norm() * b.norm())
