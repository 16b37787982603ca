"""Theorems 4.1 and 4.2 of A2SG, computed: the coefficient of variation of a shape f for a Gaussian potential u.

Let u ~ N(mu, sigma^2), let f be zero outside the window [a, b], L = b - a and kappa = a - mu. Three facts hold for all
shapes with the same window:

- CV = Std(f) / Mean(f) does not depend on the scale of f, so a normalisation by area or peak has no effect.
- Over all elements, 1 + CV_all^2 = (1 + CV_window^2) / P(a <= u <= b). So the shape with the smaller CV is the same
  whether we look at the elements in the window or at all elements.
- If dL/ds = g is normal with mean 0 and independent of u, the local gradient delta = g f has
  CV(delta)^2 = (pi / 2) (1 + CV_all^2), where CV(delta) = Std(delta) / Mean(|delta|). The order is the same again.

**Theorem 4.1.** The summary of the paper that this project follows says that TRI has the least CV of the symmetric
shapes "under certain constraints", and does not list them. We assume: f >= 0 is even about the centre of the window,
0 at its edges, and *convex* on each side. Then the theorem is true for every distribution of u. r = f / TRI does not
increase away from the centre, and neither does TRI. So under the weights TRI dP, E[r^2 TRI] >= E[r^2] E[TRI] >=
E[r]^2 E[TRI], which is the claim. The same argument with exchanged roles shows that every shape that is *concave* on
each side has a CV no greater than TRI's. So TRI is the border between the two families. BOX is constant and has
CV_window = 0, the least possible value: without a constraint that excludes BOX with the same window, the theorem is
false. With another constraint, equal peak *and* equal area, the window of BOX is half as wide, and then either CV may
be smaller, see `theorem_4_1`.

**Theorem 4.2.** If L kappa > sigma^2 then CV_asy < CV_sym, "under Gaussian linear approximation". Linearised at a, the
density is p(a) (1 - kappa (u - a) / sigma^2), and the condition says that it becomes negative within the window. With
k = L kappa / sigma^2 and h = 1/2, the linear density gives, up to a positive factor,
CV_asy^2 - CV_tri^2 ~ k (1 - 5 k / 6). So ASY has the smaller CV for k > 6/5, where the approximation is not a density.
With the Gaussian itself the bias h decides, because CV_asy = Std(x) / (h - 1/2 + Mean(x)) with x = (u - a) / L becomes
smaller when h grows. `least_bias` is the h above which ASY's CV is below TRI's. `theorem_4_2` counts how often the sign
is as predicted.

Source of the claims: A2SG (ICML 2026, arXiv 2606.11236). The derivations above are this project's.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from a2sg_zoo.errors import A2SGError

Shape = Callable[[torch.Tensor], torch.Tensor]
Number = float | torch.Tensor

_NODES = 80
_FAR = math.sqrt(2 * 45)  # beyond this many standard deviations a density is below e^-45 of its peak


def tri(y: torch.Tensor) -> torch.Tensor:
    """Return TRI as a function of the position in the window, y in [-1, 1]: f = 1 - |y|."""
    return 1 - y.abs()


def box(y: torch.Tensor) -> torch.Tensor:
    """Return BOX as a function of the position in the window, y in [-1, 1]: f = 1."""
    return torch.ones_like(y)


def asy(h: float = 0.5) -> Shape:
    """Make ASY with bias h as a function of the position in the window, y in [-1, 1]: f = y / 2 + h."""
    return lambda y: y / 2 + h


def _tensors(*values: Number) -> list[torch.Tensor]:
    return torch.broadcast_tensors(*(torch.as_tensor(v, dtype=torch.float64) for v in values))


def _check(sigma, a, b):
    if not (bool((sigma > 0).all()) and bool((b > a).all())):
        raise A2SGError('a Gaussian needs sigma > 0, and a window [a, b] needs b > a')


def quadrature(mu: Number, sigma: Number, a: Number, b: Number) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute nodes and weights for means over the part of a Gaussian that lies in a window.

    The rule is Gauss-Legendre on each half of the window, limited to where the density is not negligible, so it is
    accurate for narrow Gaussians and for windows in a tail.

    Args:
        mu: mean of the Gaussian; all arguments are numbers or tensors that broadcast.
        sigma: standard deviation.
        a: lower end of the window.
        b: upper end of the window.

    Returns:
        (y, weights), each (..., 2 * nodes). y is -1 at a and 1 at b; weights sum to 1.

    Raises:
        A2SGError: sigma is not positive, or b is not larger than a.
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


def mass(mu: Number, sigma: Number, a: Number, b: Number) -> torch.Tensor:
    """Return P(a <= u <= b) of a Gaussian u; it is accurate in the tails, too.

    Example:
        >>> from a2sg_zoo.analysis.measures.theory import mass
        >>> round(float(mass(0.0, 1.0, -1.0, 1.0)), 4)
        0.6827
    """
    mu, sigma, a, b = _tensors(mu, sigma, a, b)
    _check(sigma, a, b)
    low, high = (a - mu) / sigma, (b - mu) / sigma
    low, high = torch.where(low > 0, -high, low), torch.where(low > 0, -low, high)
    return torch.special.ndtr(high) - torch.special.ndtr(low)


def shape_cv(shape: Shape, mu: Number, sigma: Number, a: Number, b: Number, over: str = 'window') -> torch.Tensor:
    """Compute the CV of f(u) for a Gaussian u: Std(f) / Mean(f).

    Args:
        shape: f as a function of y in [-1, 1], such as `tri`, `box` or `asy(h)`.
        mu: mean of u, a number or tensor.
        sigma: standard deviation of u.
        a: lower end of the window.
        b: upper end of the window.
        over: 'window' for the elements in the window, 'all' for all elements, or 'gradient' for the CV of
            delta = g f with a normal g, over all elements.

    Returns:
        A tensor; infinite where the probability of the window is 0 in float64.

    Raises:
        A2SGError: `over` is unknown, sigma is not positive, or b is not larger than a.

    Example:
        >>> from a2sg_zoo.analysis.measures.theory import asy, shape_cv, tri
        >>> cvs = [float(shape_cv(f, mu=-1.0, sigma=1.0, a=0.0, b=2.0)) for f in (tri, asy(0.5))]
        >>> [round(cv, 3) for cv in cvs]
        [0.675, 0.817]
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


def condition(mu: Number, sigma: Number, a: Number, b: Number) -> torch.Tensor:
    """Return L kappa / sigma^2; the condition of Theorem 4.2 is that it exceeds 1."""
    mu, sigma, a, b = _tensors(mu, sigma, a, b)
    return (b - a) * (a - mu) / sigma.square()


def least_bias(mu: Number, sigma: Number, a: Number, b: Number) -> torch.Tensor:
    """Return the bias h above which CV_asy < CV_tri: h = 1/2 - Mean(x) + Std(x) / CV_tri, x = (u - a) / L."""
    y, weights = quadrature(mu, sigma, a, b)
    x = (y + 1) / 2
    mean = (weights * x).sum(-1)
    spread = (weights * (x - mean.unsqueeze(-1)).square()).sum(-1).sqrt()
    return 0.5 - mean + spread / shape_cv(tri, mu, sigma, a, b)


def random_cases(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw Gaussians and windows at random: windows below, around and above the mean of the potentials.

    The threshold is 1, the width beta and sigma are log-uniform from 0.1 to 3, and mu is uniform from -2 to 4.

    Args:
        count: number of cases.
        seed: seed of the random numbers.

    Returns:
        (mu, sigma, a, b), each a tensor (count,).
    """
    generator = torch.Generator().manual_seed(seed)
    mu, sigma, beta = torch.rand(3, count, generator=generator, dtype=torch.float64)
    beta, sigma = (0.1 * 30**x for x in (beta, sigma))
    return 6 * mu - 2, sigma, 1 - beta, 1 + beta


def theorem_4_2(cases: int = 20000, seed: int = 0, biases: Sequence[float] = (0.5, 0.55, 0.6, 0.75, 1.0)) -> list[dict]:
    """Count how often CV_asy < CV_sym, where the condition holds and where it does not.

    Args:
        cases: number of random cases.
        seed: seed of the random cases.
        biases: values of h.

    Returns:
        Dictionaries with h, symmetric (name of the symmetric shape), condition_holds, cases, and share: the share of
        the cases with CV_asy < CV_sym, which is the same over the window and over all elements.
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


# shapes of y that are 1 at the centre, and the family of each
_SYMMETRIC: dict[str, tuple[Shape, str]] = {
    '(1 - |y|)^3': (lambda y: tri(y) ** 3, 'convex, 0 at the edges'),
    '(1 - |y|)^2': (lambda y: tri(y) ** 2, 'convex, 0 at the edges'),
    '(1 - |y|)^1.2': (lambda y: tri(y) ** 1.2, 'convex, 0 at the edges'),
    'raised cosine': (lambda y: (1 + torch.cos(math.pi * y)) / 2, 'neither, 0 at the edges'),
    '(1 - |y|)^0.8': (lambda y: tri(y) ** 0.8, 'concave, 0 at the edges'),
    'parabola 1 - y^2': (lambda y: 1 - y * y, 'concave, 0 at the edges'),
    'BOX': (box, 'constant'),
}


def theorem_4_1(cases: int = 20000, seed: int = 0) -> list[dict]:
    """Count how often TRI's CV is below that of other symmetric shapes.

    Args:
        cases: number of random cases.
        seed: seed of the random cases.

    Returns:
        Dictionaries with shape, family, constraint, cases, and share: the share of the cases with CV_tri < CV of the
        shape. With the constraint 'same window' it is the same over the window and over all elements. With 'same peak
        and area' the windows differ, and it is over all elements.
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


def layers_under_theory(
    membranes: Mapping[tuple[str, int], Mapping], biases: Sequence[float] = (0.5, 1.0)
) -> list[dict]:
    """Evaluate Theorem 4.2 for the layers of a network, with a Gaussian fitted to the potentials of each layer.

    Args:
        membranes: {(layer, t): dict(mean, std, v_threshold, beta)}, from `local_gradient_statistics`.
        biases: values of h.

    Returns:
        Dictionaries with layer, t, mu, sigma, a, b, ratio (L kappa / sigma^2), holds (ratio > 1), cv_tri, cv_box,
        least_bias, and cv_asy ({h: CV}). CVs are over the window. Where the potentials of a layer do not vary,
        everything that depends on sigma is None. A CV that is not finite is None, too.
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
