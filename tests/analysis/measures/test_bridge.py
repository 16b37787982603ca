"""The two sides of the bridge against dense matrices."""

import pytest
import torch
from torch.nn import functional as F

from a2sg_zoo.analysis.measures.bridge import as_dicts, cv_curvature_bridge
from a2sg_zoo.analysis.measures.fisher import fisher_spectrum
from a2sg_zoo.analysis.measures.growth import hessian_growth
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.surrogates import ASY, BOX, TRI
from tests.analysis.networks import classifier_objective, perceptron


def largest(rows):
    J = torch.stack(rows)
    return float(torch.linalg.eigvalsh(J.T @ J / len(J))[-1])


def by_hand(objective, layer):
    """(lambda of F, Lambda, deltas, gradients, ones) of a Linear or 3x3 Conv2d, with explicit Kronecker products."""
    module = objective.model.get_submodule(layer)
    gradients, ones, deltas = [], [], []
    for inputs, targets in objective.single_samples():
        seen = []
        handle = module.register_forward_hook(
            lambda m, args, y, seen=seen: seen.extend([args[0], y]) or y.retain_grad()
        )
        objective.batch_loss(inputs, targets).backward()
        handle.remove()
        a, delta = seen[0].detach(), seen[1].grad
        if isinstance(module, torch.nn.Conv2d):  # rows: positions and time steps
            a = F.unfold(a, 3, padding=1, stride=module.stride).transpose(1, 2).flatten(0, 1)
            delta = delta.flatten(2).transpose(1, 2).flatten(0, 1)
        a, delta = a.reshape(-1, a.shape[-1]), delta.reshape(-1, delta.shape[-1])
        gradients.append(sum(torch.kron(d, x) for d, x in zip(delta, a)))
        ones.append(sum(torch.kron(torch.ones_like(d), x) for d, x in zip(delta, a)))
        deltas.append(delta.flatten())
    return gradients, ones, torch.cat(deltas)


@pytest.mark.parametrize(
    'make, layers',
    [
        (lambda: perceptron(ASY()), ['fc1', 'fc2']),
        (classifier_objective, ['backbone.stem.conv', 'backbone.stages.0.0.conv1.conv']),
    ],
    ids=['linear', 'convolution'],
)
def test_against_dense(make, layers):
    objective = make()
    rows = {row.layer: row for row in cv_curvature_bridge(objective)}
    for layer in layers:
        gradients, ones, delta = by_hand(objective, layer)
        row, mu = rows[layer], float(delta.mean())
        assert row.measured == pytest.approx(largest(gradients), rel=1e-8)
        assert row.mu == pytest.approx(mu, rel=1e-8)
        assert row.cv == pytest.approx(float(delta.std(correction=0)) / abs(mu))
        assert row.cv_abs == pytest.approx(float(delta.std(correction=0) / delta.abs().mean()))
        assert row.rank_one == pytest.approx(mu**2 * largest(ones), rel=1e-7)
        assert row.perturbation == pytest.approx(largest([g - mu * one for g, one in zip(gradients, ones)]), rel=1e-7)
        assert row.measured <= row.triangle * (1 + 1e-9)
        # the smallest constant: with it the two sides meet, with less the bound fails
        assert row.bound(row.c) == pytest.approx(row.measured) and row.bound(0.9 * row.c) < row.measured
    whole = fisher_spectrum(objective.restricted([f'{layers[0]}.weight'])).eigenvalues[layers[0]]
    assert rows[layers[0]].measured == pytest.approx(whole, rel=1e-9)


def test_slices_give_the_same():
    """Of several layers, and of a single one that does not fit."""
    objective = classifier_objective()
    whole = as_dicts(cv_curvature_bridge(objective))
    for columns in (50, 400):
        for row, other in zip(
            whole, as_dicts(cv_curvature_bridge(objective, memory=columns * 2 * objective.samples * 8))
        ):
            assert all(
                other[key] == (value if isinstance(value, str | None) else pytest.approx(value, rel=1e-9))
                for key, value in row.items()
            )


def test_the_shared_constant_holds_everywhere():
    for row in as_dicts(cv_curvature_bridge(classifier_objective())):
        assert row['bound'] is None or row['bound'] >= row['measured'] * (1 - 1e-9)


def test_a_mean_of_zero_is_undefined():
    """The softmax's gradient sums to 0 over the classes."""
    row = {row.layer: row for row in cv_curvature_bridge(perceptron(ASY()))}['out']
    assert row.mu == 0 and row.cv is None and row.c is None and row.bound(1.0) is None and row.measured > 0


def test_growth():
    x, y = torch.randn(100, 10), torch.arange(100) % 4
    betas = (0.1, 0.2, 0.4)
    tri, box = (hessian_growth(shape, x, y, betas, hidden=(24,), T=2) for shape in (TRI, BOX))
    assert tri.exponent > 1.2 > box.exponent > 0
    assert tri.relu == box.relu > 0
    assert tri.exponent == pytest.approx(sum(tri.local) / 2)  # equal steps in log beta
    deep = hessian_growth(TRI, x, y, betas, hidden=(24, 24), T=2)
    assert deep.exponent > tri.exponent
    with pytest.raises(A2SGError, match='1e-09'):
        hessian_growth(TRI, x[:2], y[:2], (1e-9, 0.5), hidden=(4,), T=1, gain=1e-3)
