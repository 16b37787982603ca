"""CVs against scipy's integrals and sampling; the theorems as they hold, and where they do not."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from a2sg_zoo.analysis.measures.theory import (
    asy,
    box,
    condition,
    layers_under_theory,
    least_bias,
    mass,
    quadrature,
    random_cases,
    shape_cv,
    theorem_4_1,
    theorem_4_2,
    tri,
)
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.surrogates import ASY, BOX, TRI

SHAPES = {'asy': (asy(0.5), ASY()), 'asy, h = 0.8': (asy(0.8), ASY(h=0.8)), 'tri': (tri, TRI()), 'box': (box, BOX())}
cases = st.tuples(st.floats(-2, 4), st.floats(0.05, 3), st.floats(0.05, 3))


@pytest.mark.parametrize('name', SHAPES)
@pytest.mark.parametrize('mu, sigma, beta', [(0.3, 0.5, 0.4), (1, 0.05, 2), (-1, 0.6, 1), (3, 0.5, 0.7)])
def test_against_scipy(name, mu, sigma, beta):
    a, b = 1 - beta, 1 + beta
    shape, surrogate = SHAPES[name]

    def moment(power):
        def integrand(u):
            return float(surrogate(torch.tensor(u - 1), beta)) ** power * stats.norm.pdf(u, mu, sigma)

        points = sorted({1, *(x for x in (mu - 3 * sigma, mu, mu + 3 * sigma) if a < x < b)})
        return integrate.quad(integrand, a, b, points=points, limit=200, epsabs=0, epsrel=1e-9)[0]

    p = stats.norm.cdf(b, mu, sigma) - stats.norm.cdf(a, mu, sigma)
    first, second = moment(1), moment(2)
    assert float(mass(mu, sigma, a, b)) == pytest.approx(p, rel=1e-9)
    assert float(shape_cv(shape, mu, sigma, a, b)) == pytest.approx(
        math.sqrt(max(0, second * p / first**2 - 1)), rel=1e-5, abs=1e-6
    )
    assert float(shape_cv(shape, mu, sigma, a, b, 'all')) == pytest.approx(
        math.sqrt(max(0, second / first**2 - 1)), rel=1e-5, abs=1e-3
    )


def test_far_tails_keep_their_digits():
    """At 40 sigma the Gaussian is an exponential of rate kappa / sigma^2, whose CV under a ramp from 0 is 1."""
    assert float(shape_cv(asy(0.5), 0, 1, 40, 60)) == pytest.approx(1, abs=2e-3)
    assert float(mass(0, 1, 30, 31)) == pytest.approx(stats.norm.sf(30), rel=1e-9)
    assert float(quadrature(0, 1e-3, -1, 1)[1].sum()) == pytest.approx(1)


def test_local_gradients_by_sampling():
    rng = np.random.default_rng(0)
    u, g = rng.normal(0.3, 0.5, 2_000_000), rng.normal(size=2_000_000)
    for shape, surrogate in SHAPES.values():
        delta = g * surrogate(torch.from_numpy(u - 1), 0.8).numpy()
        assert float(shape_cv(shape, 0.3, 0.5, 0.2, 1.8, 'gradient')) == pytest.approx(
            delta.std() / np.abs(delta).mean(), rel=5e-3
        )


@settings(max_examples=200)
@given(cases, st.lists(st.tuples(st.floats(0.05, 1), st.floats(0.01, 1)), min_size=1, max_size=5))
def test_theorem_4_1_for_convex_shapes_and_its_reverse_for_concave_ones(case, pieces):
    mu, sigma, beta = case
    args = mu, sigma, 1 - beta, 1 + beta

    def convex(y):  # every convex shape that is 0 at the edge is a mixture of narrower triangles
        return sum(weight * (width - y.abs()).clamp(min=0) for width, weight in [(1, 1e-3), *pieces])

    def concave(y):  # a minimum of lines that fall outwards
        return torch.stack([offset + slope * (1 - y.abs()) for slope, offset in pieces]).amin(0)

    reference = float(shape_cv(tri, *args))
    assert float(shape_cv(convex, *args)) >= reference * (1 - 1e-9)
    assert float(shape_cv(concave, *args)) <= reference * (1 + 1e-9)
    assert float(shape_cv(box, *args)) < 1e-6


def test_table_4_1():
    rows = {(row['shape'], row['constraint']): row['share'] for row in theorem_4_1(2000)}
    assert rows['(1 - |y|)^2', 'same window'] == 1
    assert rows['parabola 1 - y^2', 'same window'] == rows['BOX', 'same window'] == 0
    assert 0.5 < rows['BOX', 'same peak and area'] < 1


@settings(max_examples=200)
@given(cases, st.floats(0.4, 2))
def test_least_bias_is_where_the_sign_turns(case, h):
    mu, sigma, beta = case
    args = mu, sigma, 1 - beta, 1 + beta
    border = float(least_bias(*args))
    if abs(h - border) > 1e-6 and h >= 0.5:
        assert (float(shape_cv(asy(h), *args)) < float(shape_cv(tri, *args))) == (h > border)


def test_theorem_4_2_depends_on_the_bias():
    """Where the condition holds: never for h = 1/2, always for h >= 0.58; and never against BOX."""
    drawn = random_cases(50000, seed=1)
    holds = condition(*drawn) > 1
    border = least_bias(*drawn)[holds]
    assert holds.sum() > 5000 and border.min() >= 0.5 - 1e-6 and border.max() < 0.58
    rows = {(row['symmetric'], row['h'], row['condition_holds']): row['share'] for row in theorem_4_2(5000)}
    assert rows['TRI', 0.6, True] == rows['TRI', 1.0, True] == 1
    assert rows['TRI', 0.5, True] < 1e-2 < rows['TRI', 0.5, False] < 1
    assert not any(share for (symmetric, *_), share in rows.items() if symmetric == 'BOX')


def test_where_the_linear_density_turns_the_sign():
    """CV_asy^2 - CV_tri^2 ~ k (1 - 5k/6) for the density 1 - kx on [0, 1], h = 1/2."""
    for k in (-3, -0.5, 0.5, 1.0, 1.15, 1.25, 1.4):
        density = np.polynomial.Polynomial([1, -k])
        ramp = np.polynomial.Polynomial([0, 1])
        m0, m1, m2 = ((density * ramp**i).integ()(1) for i in range(3))
        assert np.sign(m2 * m0 / m1**2 - 4 / 3) == np.sign(k * (1 - 5 * k / 6))


def test_layers():
    m = dict(mean=0.0, std=0.5, v_threshold=1.0, beta=0.5)
    row, still = layers_under_theory({('a', 1): m, ('b', 1): {**m, 'std': 0.0}}, biases=(0.5,))
    assert (row['a'], row['b'], row['ratio'], row['holds']) == (0.5, 1.5, 2.0, True)
    assert row['cv_asy'][0.5] == pytest.approx(float(shape_cv(asy(0.5), 0, 0.5, 0.5, 1.5)))
    assert still['ratio'] is still['holds'] is still['cv_asy'][0.5] is None


def test_mistakes():
    with pytest.raises(A2SGError, match='sigma'):
        shape_cv(tri, 0, 0, 0, 1)
    with pytest.raises(A2SGError, match='over.*some'):
        shape_cv(tri, 0, 1, 0, 1, 'some')
