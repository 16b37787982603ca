"""Theorems 4.1 and 4.2 of A2SG, evaluated: the coefficient of variation of a shape f under a Gaussian potential u.

Let u ~ N(mu, sigma^2) and f be zero outside the window [a, b], L = b - a, kappa = a - mu. Three facts, of use
throughout, hold for any shapes with the same window:

- CV = Std(f) / Mean(f) does not change with f's scale: normalisation, by area or peak, is without effect.
- Over all elements, 1 + CV_all^2 = (1 + CV_window^2) / P(a <= u <= b). So which of two shapes has the smaller CV does
  not depend on whether one looks at the window or at all elements.
- With dL/ds = g independent of u and normal with mean 0, the local gradient delta = g f has
  CV(delta)^2 = (pi / 2) (1 + CV_all^2), where CV(delta) = Std(delta) / Mean(|delta|). Same order again.

**Theorem 4.1.** The summary of the paper that this follows says that TRI has the least CV of the symmetric shapes
"under certain constraints", not which. Taken as: f >= 0 is even about the window's centre, 0 at its edges, and *convex*
on each side. Then it is true, for every distribution of u: r = f / TRI does not increase away from the centre, nor
does TRI, so under the weights TRI dP, E[r^2 TRI] >= E[r^2] E[TRI] >= E[r]^2 E[TRI], which is the claim. The same
argument with the roles exchanged shows that every shape *concave* on each side has a CV no greater than TRI's. So TRI
lies on the border of the two families. BOX, which is constant, has CV_window = 0, the least there is: without a
constraint that excludes BOX at the same window the theorem is false. Under another constraint, equal peak *and* equal
area, BOX's window is half as wide; then either may be smaller, see `theorem_4_1`.

**Theorem 4.2.** If L kappa > sigma^2 then CV_asy < CV_sym, "under Gaussian linear approximation". Linearised at a, the
density is p(a) (1 - kappa (u - a) / sigma^2): the condition says just that this becomes negative within the window.
With k = L kappa / sigma^2 that linear density gives for h = 1/2, up to a positive factor,
CV_asy^2 - CV_tri^2 ~ k (1 - 5 k / 6): ASY is the smaller one for k > 6/5, where the approximation is no density.
With the Gaussian itself the bias h decides, for CV_asy = Std(x) / (h - 1/2 + Mean(x)), x = (u - a) / L, falls with h:
`least_bias` is the h from which on ASY's CV is below TRI's. `theorem_4_2` counts how often the sign is as predicted.

Source of the claims: A2SG (ICML 2026, arXiv 2606.11236); the derivations above are this project's.
"""

import math

import numpy as np
import torch

from a2sg_zoo.errors import A2SGError

_NODES = 80
_FAR = math.sqrt(2 * 45)  # standard deviations beyond which a density is below e^-45 of its peak


def tri(y):
    return 1 - y.abs()


def box(y):
    return torch.ones_like(y)


def asy(h=0.5):
    """ASY as a function of y: f = y / 2 + h."""
    return lambda y: y / 2 + h


def _tensors(*values):
    return torch.broadcast_tensors(*(torch.as_tensor(v, dtype=torch.float64) for v in values))


def _check(sigma, a, b):
    if not (bool((sigma > 0).all()) and bool((b > a).all())):
        raise A2SGError('a Gaussian needs sigma > 0, and a window [a, b] needs b > a')


def quadrature(mu, sigma, a, b):
    """Nodes and weights of the Gaussian within a window.

    Gauss-Legendre on either half of the window, cut to where the density counts, so that narrow Gaussians and windows
    far out in a tail lose no digits.

    Args:
        mu, sigma, a, b: numbers or tensors that broadcast.

    Returns:
        (y, weights), each (..., 2 * nodes): y = -1 at a and 1 at b; weights sum to 1.
    """
    mu, sigma, a, b = _tensors(mu, sigma, a, b)
    _check(sigma, a, b)
    nodes, weights = (torch.from_numpy(x) for x in np.polynomial.legendre.leggauss(_NODES))
    centre, half = (a + b) / 2, (b - a) / 2
    parts = []
    for low, high in ((a, centre), (centre, b)):
        mode = mu.clamp(low, high)
        reach = ((mode - mu).square() + (_FAR * sigma).square()).sqrt()
        low, high = torch.maximum(low, mu - reach), torch.minimum(high, mu + reach)
        u = ((high + low) / 2).unsqueeze(-1) + ((high - low) / 2).unsqueeze(-1) * nodes
        parts.append(
            (
                u,
                (-((u - mu.unsqueeze(-1)) / sigma.unsqueeze(-1)).square() / 2),
                ((high - low) / 2).unsqueeze(-1) * weights,
            )
        )
    u, log_density, weights = (torch.cat(x, -1) for x in zip(*parts))
    weights = weights * (log_density - log_density.amax(-1, keepdim=True)).exp()
    return (u - centre.unsqueeze(-1)) / half.unsqueeze(-1), weights / weights.sum(-1, keepdim=True)


def mass(mu, sigma, a, b):
    """P(a <= u <= b), accurate in the tails."""
    mu, sigma, a, b = _tensors(mu, sigma, a, b)
    _check(sigma, a, b)
    low, high = (a - mu) / sigma, (b - mu) / sigma
    low, high = torch.where(low > 0, -high, low), torch.where(low > 0, -low, high)
    return torch.special.ndtr(high) - torch.special.ndtr(low)


def shape_cv(shape, mu, sigma, a, b, over='window'):
    """CV of f(u) for a Gaussian u.

    Args:
        shape: f as a function of y in [-1, 1]; `tri`, `box`, `asy(h)`.
        mu, sigma: of u; numbers or tensors.
        a, b: the window.
        over: 'window' (elements within it), 'all', or 'gradient': of delta = g f with normal g, over all elements.

    Returns:
        tensor; infinite where no element is in the window to within float64.
    """
    if over not in ('window', 'all', 'gradient'):
        raise A2SGError(f"shape_cv: over must be 'window', 'all' or 'gradient', got {over!r}")
    y, weights = quadrature(mu, sigma, a, b)
    f = shape(y)
    mean = (weights * f).sum(-1)
    variance = (weights * (f - mean.unsqueeze(-1)).square()).sum(-1)
    within = variance / mean.square()
    if over == 'window':
        return within.sqrt()
    everywhere = (1 + within) / mass(mu, sigma, a, b)
    return (everywhere - 1).sqrt() if over == 'all' else (math.pi / 2 * everywhere).sqrt()


def condition(mu, sigma, a, b):
    """L kappa / sigma^2; the condition of Theorem 4.2 is that this exceeds 1."""
    mu, sigma, a, b = _tensors(mu, sigma, a, b)
    return (b - a) * (a - mu) / sigma.square()


def least_bias(mu, sigma, a, b):
    """The bias h above which CV_asy < CV_tri, for a Gaussian and window: 1/2 - Mean(x) + Std(x) / CV_tri."""
    y, weights = quadrature(mu, sigma, a, b)
    x = (y + 1) / 2
    mean = (weights * x).sum(-1)
    spread = (weights * (x - mean.unsqueeze(-1)).square()).sum(-1).sqrt()
    return 0.5 - mean + spread / shape_cv(tri, mu, sigma, a, b)


def random_cases(count, seed=0):
    """(mu, sigma, a, b): a threshold of 1, beta from 0.1 to 3 and sigma from 0.1 to 3, both log-uniform, mu uniform in
    [-2, 4]: windows before, about and behind the potentials' mean. Each tensor (count,)."""
    generator = torch.Generator().manual_seed(seed)
    mu, sigma, beta = torch.rand(3, count, generator=generator, dtype=torch.float64)
    beta, sigma = (0.1 * 30**x for x in (beta, sigma))
    return 6 * mu - 2, sigma, 1 - beta, 1 + beta


def theorem_4_2(cases=20000, seed=0, biases=(0.5, 0.55, 0.6, 0.75, 1.0)):
    """How often CV_asy < CV_sym, where the condition holds and where it does not.

    Returns:
        [dict(h, symmetric, condition_holds, cases, share)]: `share` of the cases in which CV_asy < CV_sym, over the
        window or over all elements alike.
    """
    drawn = random_cases(cases, seed)
    holds = condition(*drawn) > 1
    rows = []
    for name, symmetric in (('TRI', tri), ('BOX', box)):
        reference = shape_cv(symmetric, *drawn)
        for h in biases:
            smaller = shape_cv(asy(h), *drawn) < reference
            for wanted in (True, False):
                chosen = smaller[holds == wanted]
                rows.append(
                    dict(
                        h=h,
                        symmetric=name,
                        condition_holds=wanted,
                        cases=len(chosen),
                        share=float(chosen.double().mean()),
                    )
                )
    return rows


# shapes of y that are 1 at the centre; which family they belong to
_SYMMETRIC = {
    '(1 - |y|)^3': (lambda y: tri(y) ** 3, 'convex, 0 at the edges'),
    '(1 - |y|)^2': (lambda y: tri(y) ** 2, 'convex, 0 at the edges'),
    '(1 - |y|)^1.2': (lambda y: tri(y) ** 1.2, 'convex, 0 at the edges'),
    'raised cosine': (lambda y: (1 + torch.cos(math.pi * y)) / 2, 'neither, 0 at the edges'),
    '(1 - |y|)^0.8': (lambda y: tri(y) ** 0.8, 'concave, 0 at the edges'),
    'parabola 1 - y^2': (lambda y: 1 - y * y, 'concave, 0 at the edges'),
    'BOX': (box, 'constant'),
}


def theorem_4_1(cases=20000, seed=0):
    """How often TRI's CV is below that of other symmetric shapes.

    Returns:
        [dict(shape, family, constraint, cases, share)]: `share` of the random cases with CV_tri < CV of the shape.
        Under the constraint 'same window', over the window or all elements alike; under 'same peak and area', where
        the windows differ, over all elements.
    """
    mu, sigma, a, b = random_cases(cases, seed)
    reference = shape_cv(tri, mu, sigma, a, b)
    rows = [
        dict(
            shape=name,
            family=family,
            constraint='same window',
            cases=cases,
            share=float((reference < shape_cv(shape, mu, sigma, a, b)).double().mean()),
        )
        for name, (shape, family) in _SYMMETRIC.items()
    ]
    centre, half = (a + b) / 2, (b - a) / 2
    reference = shape_cv(tri, mu, sigma, a, b, 'all')
    # peak 1 and area beta: a BOX of half the width
    narrow = shape_cv(box, mu, sigma, centre - half / 2, centre + half / 2, 'all')
    rows.append(
        dict(
            shape='BOX',
            family='constant',
            constraint='same peak and area',
            cases=cases,
            share=float((reference < narrow).double().mean()),
        )
    )
    return rows


def layers_under_theory(membranes, biases=(0.5, 1.0)):
    """Theorem 4.2 for the layers of a network, with a Gaussian fitted to each layer's potentials.

    Args:
        membranes: {(layer, t): dict(mean, std, v_threshold, beta)}, from `variation.measure`.
        biases: values of h.

    Returns:
        [dict(layer, t, mu, sigma, a, b, ratio=L kappa / sigma^2, holds, cv_tri, cv_box, least_bias, cv_asy={h: CV})];
        CVs are over the window. A layer whose potentials do not vary has None for all that depends on sigma, and a CV
        that is not finite is None.
    """
    rows = []
    for (layer, t), m in membranes.items():
        a, b = m['v_threshold'] - m['beta'], m['v_threshold'] + m['beta']
        row = dict(
            layer=layer,
            t=t,
            mu=m['mean'],
            sigma=m['std'],
            a=a,
            b=b,
            ratio=None,
            holds=None,
            cv_tri=None,
            cv_box=None,
            least_bias=None,
            cv_asy=dict.fromkeys(biases),
        )
        if m['std']:
            case = m['mean'], m['std'], a, b
            ratio = float(condition(*case))
            row |= dict(
                ratio=ratio,
                holds=ratio > 1,
                cv_tri=_finite(shape_cv(tri, *case)),
                cv_box=0.0,
                least_bias=_finite(least_bias(*case)),
                cv_asy={h: _finite(shape_cv(asy(h), *case)) for h in biases},
            )
        rows.append(row)
    return rows


def _finite(x):
    return float(x) if bool(x.isfinite()) else None
