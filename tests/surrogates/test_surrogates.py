"""Shapes against closed forms, numerical areas, and the primitives whose derivatives they are."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import SURROGATES
from a2sg_zoo.surrogates import (
    ASY,
    BOX,
    TRI,
    ATan,
    DspikeShape,
    FastSigmoid,
    Gaussian,
    PiecewiseQuadratic,
    Sigmoid,
    Surrogate,
    Tanh,
    UnitArea,
    UnitNorm,
)

Z = torch.linspace(-400, 400, 4_000_001, dtype=torch.float64)
betas = st.floats(0.05, 3)


def area(shape, beta):
    return float(torch.trapezoid(shape(Z, beta), Z))


@pytest.mark.parametrize(
    'shape, beta, expected',
    [
        (TRI(), 0.7, 1),
        (TRI(normalize='peak'), 0.7, 0.7),
        (BOX(), 0.7, 1),
        (BOX(normalize='peak'), 0.7, 1.4),
        (ASY(h=0.5), 0.7, 0.7),
        (ASY(h=0.8), 0.7, 2 * 0.7 * 0.8),
        (PiecewiseQuadratic(), 0.7, 1),
        (Sigmoid(), 0.25, 1),
        (ATan(), 0.5, 1),
        (FastSigmoid(), 0.04, 0.08),
        (Gaussian(), 0.5, 1),
        (Tanh(), 0.3, 1),
        (DspikeShape(), 0.6, 1),
        (DspikeShape(v_threshold=0.5), 4.0, 1),
    ],
    ids=repr,
)
def test_area(shape, beta, expected):
    assert area(shape, beta) == pytest.approx(expected, rel=2e-3)


@given(z=st.floats(-4, 4), beta=betas, h=st.floats(0.5, 2))
def test_piecewise_linear_closed_forms(z, beta, h):
    inside = abs(z) <= beta
    f = lambda shape: float(shape(torch.tensor(z, dtype=torch.float64), beta))  # noqa: E731
    assert f(ASY(h=h)) == pytest.approx((z / (2 * beta) + h) * inside)
    assert f(TRI()) == pytest.approx(max(0, 1 - abs(z) / beta) / beta, abs=1e-12)
    assert f(TRI(normalize='peak')) == pytest.approx(max(0, 1 - abs(z) / beta), abs=1e-12)
    assert f(BOX()) == pytest.approx(inside / (2 * beta))
    assert f(BOX(normalize='peak')) == pytest.approx(float(inside))


@given(beta=betas)
def test_asy_rises_from_h_minus_half_to_h_plus_half(beta):
    low, high = ASY(h=0.5)(torch.tensor([-beta, beta], dtype=torch.float64), beta).tolist()
    assert low == pytest.approx(0, abs=1e-9) and high == pytest.approx(1)


@pytest.mark.parametrize(
    'shape, primitive',
    [
        (Sigmoid(4.0), lambda z: torch.sigmoid(4 * z)),
        (ATan(2.0), lambda z: torch.atan(math.pi / 2 * 2 * z) / math.pi),
        (FastSigmoid(25.0), lambda z: z / (1 + 25 * z.abs())),
        (Gaussian(0.5), lambda z: torch.special.ndtr(z / 0.5)),
        (Tanh(3.0), lambda z: torch.tanh(3 * z) / 2 + 0.5),
        (PiecewiseQuadratic(1.0), lambda z: torch.where(z.abs() > 1, z.sign() / 2, -0.5 * z.abs() * z + z)),
    ],
    ids=lambda value: getattr(value, '__name__', repr(value)),
)
def test_derivative_of_the_primitive(shape, primitive):
    z = torch.randn(1000, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(primitive(z).sum(), z)
    torch.testing.assert_close(shape(z, shape.beta), expected)


@pytest.mark.parametrize(
    'name',
    ['ASY', 'TRI', 'BOX', 'Sigmoid', 'ATan', 'FastSigmoid', 'Gaussian', 'PiecewiseQuadratic', 'Tanh', 'DspikeShape'],
)
@given(
    shape=st.lists(st.integers(1, 4), max_size=4), dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16])
)
def test_keeps_shape_and_dtype(name, shape, dtype):
    surrogate = SURROGATES.build(dict(type=name))
    z = torch.randn(shape).to(dtype)
    out = surrogate(z, surrogate.beta)
    assert out.shape == z.shape and out.dtype == dtype and (out >= 0).all()


def dspike(u, b, v_threshold):
    """Dspike as the paper writes it, on 0 <= u <= 1 with threshold 1/2, for u in units of 2 v_threshold."""
    u = u / (2 * v_threshold)
    return torch.tanh(b * (u - 0.5)) / (2 * math.tanh(b / 2)) + 0.5


@given(b=st.floats(0.2, 20), v_threshold=st.floats(0.3, 2))
def test_dspike_goes_from_0_to_1_and_the_shape_is_its_derivative(b, v_threshold):
    ends = torch.tensor([0, v_threshold, 2 * v_threshold], dtype=torch.float64)
    torch.testing.assert_close(dspike(ends, b, v_threshold), torch.tensor([0, 0.5, 1], dtype=torch.float64))
    u = (torch.linspace(-1, 3, 402, dtype=torch.float64) * v_threshold).requires_grad_()
    (expected,) = torch.autograd.grad(dspike(u, b, v_threshold).sum(), u)
    expected = expected * ((u >= 0) & (u <= 2 * v_threshold))
    shape = DspikeShape(b, v_threshold)
    assert shape.beta == pytest.approx(2 * v_threshold / b)
    for beta in (shape.beta, torch.tensor(shape.beta, dtype=torch.float64)):
        torch.testing.assert_close(shape(u.detach() - v_threshold, beta), expected)


def test_dspike_counts_a_neuron_at_rest():
    rest, below, end = DspikeShape(b=3.0)(torch.tensor([-1.0, -1.001, 1.0], dtype=torch.float64), 2 / 3)
    assert rest == end > 0 and below == 0


def test_dspike_tends_to_the_rectangle():
    z = torch.tensor([-1.2, -0.9, 0.0, 0.9, 1.2], dtype=torch.float64)
    shape = DspikeShape(b=1e-3)
    torch.testing.assert_close(shape(z, shape.beta), BOX()(z, 1.0), rtol=1e-6, atol=0)


def test_own_surrogate_needs_one_decorator():

    @SURROGATES.register_module()
    class Cosine(Surrogate):
        def __call__(self, z, beta):
            return torch.cos(z * (math.pi / 2) / beta).clamp(min=0) * (z.abs() <= beta)

    try:
        assert area(SURROGATES.build(dict(type='Cosine', beta=0.5)), 0.5) == pytest.approx(2 / math.pi, rel=1e-3)
    finally:
        SURROGATES.module_dict.pop('Cosine')


@pytest.mark.parametrize(
    'config, error, named',
    [
        (dict(type='TRY'), ConfigError, "'TRY'.*'TRI'"),
        (dict(type='TRI', beta='wide'), ConfigError, "TRI: beta .*'wide'"),
        (dict(type='TRI', beta=0.0), ValueError, 'TRI: beta .*0.0'),
        (dict(type='BOX', normalize='sum'), ValueError, "BOX: normalize .*'sum'"),
        (dict(type='ASY', h=None), ConfigError, 'ASY: h .*None'),
        (dict(type='ATan', alpha=-1), ValueError, 'ATan: alpha .*-1'),
        (dict(type='Tanh', K=0), ValueError, 'Tanh: K .*0'),
        (dict(type='DspikeShape', b='hot'), ConfigError, "DspikeShape: b .*'hot'"),
        (dict(type='DspikeShape', v_threshold=0), ValueError, 'DspikeShape: v_threshold .*0'),
    ],
)
def test_wrong_arguments_are_named(config, error, named):
    with pytest.raises(error, match=named):
        SURROGATES.build(config)


@pytest.mark.parametrize('shape', [ASY(h=0.5), ASY(h=1.3), TRI(normalize='peak'), TRI(), BOX(normalize='peak')])
@pytest.mark.parametrize('beta', [0.4, 1.0, 2.3])
def test_unit_area(shape, beta):
    assert float(shape.area(beta)) == pytest.approx(area(shape, beta), rel=2e-3)
    assert area(UnitArea(shape), beta) == pytest.approx(1, rel=2e-3)
    z = torch.linspace(-beta, beta, 7)
    torch.testing.assert_close(UnitArea(shape)(z, beta) * area(shape, beta), shape(z, beta), rtol=5e-3, atol=1e-6)


@pytest.mark.filterwarnings('ignore:ASY with h')
@pytest.mark.parametrize('h', [0.0, -0.2])
def test_no_unit_area_without_an_area(h):
    with pytest.raises(ConfigError, match=r'UnitArea: ASY\(.*area'):
        UnitArea(ASY(h=h))
    assert UnitNorm(ASY(h=h)).norm(0.5) == pytest.approx(1)
