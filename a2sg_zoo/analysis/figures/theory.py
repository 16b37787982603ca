"""Figures of the paper's theorems and of the Hessian's growth."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from a2sg_zoo.analysis.figures.style import new_figure, series_styles, tidy
from a2sg_zoo.analysis.measures.growth import Growth
from a2sg_zoo.analysis.measures.theory import asy, condition, random_cases, shape_cv, tri
from a2sg_zoo.utils.palette import GREY


def growth_figure(growths: Mapping[str, Growth], title: str = '') -> Figure:
    """Draw the spectral norm of the Hessian over 1 / beta, with fitted lines, and that of a ReLU network as a level.

    Args:
        growths: {name of the shape: result of `hessian_growth`}.
        title: title of the figure.
    """
    figure = new_figure()
    axes = tidy(
        figure.add_subplot(),
        xlabel='1 / beta',
        ylabel='spectral norm of the Hessian',
        title=title,
        xscale='log',
        yscale='log',
    )
    for (name, growth), style in zip(growths.items(), series_styles()):
        x = 1 / np.array(growth.betas)
        label = f'{name}: exponent {growth.exponent:.2f}'
        axes.plot(x, growth.snn, markersize=5, label=label, **{**style, 'linestyle': 'none'})
        logs = np.log(growth.snn)
        fitted = np.exp(logs.mean() + growth.exponent * (np.log(x) - np.log(x).mean()))
        axes.plot(x, fitted, color=style['color'], linestyle=style['linestyle'], linewidth=1)
    first = next(iter(growths.values()))
    axes.axhline(first.relu, color=GREY, linestyle=':', label='ReLU network')
    x = 1 / np.array(first.betas)
    axes.plot(x, first.snn[-1] * (x / x[-1]) ** 2, color=GREY, linewidth=0.8, label='claimed slope 2')
    axes.legend(frameon=False)
    return figure


def theory_figure(
    layers: Sequence[dict] = (),
    cases: int = 1500,
    biases: Sequence[float] = (0.5, 0.6, 1.0),
    seed: int = 0,
    title: str = 'Theorem 4.2, exact Gaussian',
) -> Figure:
    """Draw CV_asy / CV_tri over L kappa / sigma^2 for random cases (points) and for the layers of a network (rings).

    Args:
        layers: from `layers_under_theory`, with the same biases.
        cases: number of random cases, see `random_cases`.
        biases: values of h.
        seed: seed of the random cases.
        title: title of the figure.
    """
    drawn = random_cases(cases, seed)
    x, reference = condition(*drawn), shape_cv(tri, *drawn)
    figure = new_figure()
    axes = tidy(figure.add_subplot(), xlabel='L kappa / sigma²', ylabel='CV of ASY / CV of TRI', title=title)
    for h, style in zip(biases, series_styles()):
        axes.scatter(
            x,
            shape_cv(asy(h), *drawn) / reference,
            s=4,
            color=style['color'],
            marker=style['marker'],
            label=f'h = {h:g}',
            linewidths=0,
            alpha=0.6,
        )
        found = [
            (row['ratio'], row['cv_asy'][h] / row['cv_tri'])
            for row in layers
            if row['ratio'] is not None and row['cv_asy'].get(h) is not None and row['cv_tri']
        ]
        if found:
            ratios, cvs = zip(*found)
            axes.scatter(ratios, cvs, s=40, facecolors='none', edgecolors=style['color'])
    axes.axhline(1, color=GREY, linewidth=0.8)
    axes.axvline(1, color=GREY, linewidth=0.8, linestyle='--')
    axes.set(xscale='symlog', ylim=(0, 2))
    axes.legend(frameon=False, markerscale=3, title='right of the dashed line:\nthe condition holds', title_fontsize=8)
    return figure
