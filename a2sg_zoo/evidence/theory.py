"""What the paper's theory says, computed on random cases, on small perceptrons, and in trained layers."""

import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from a2sg_zoo.analysis.compare import Group
from a2sg_zoo.analysis.measures.growth import hessian_growth
from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.analysis.measures.theory import theorem_4_1, theorem_4_2
from a2sg_zoo.analysis.measures.variation import read_adaptation_log, theorem_curve
from a2sg_zoo.errors import A2SGError, DataError
from a2sg_zoo.surrogates import BOX, TRI

Row = dict[str, Any]

BIAS = 0.5  # h of ASY as configured here
HIDDEN = 64  # neurons in a hidden layer of the perceptrons


def theorem_tables(seed: int = 0) -> tuple[list[Row], list[Row]]:
    """Evaluate Theorems 4.1 and 4.2 on random Gaussians.

    Returns:
        The rows of `theorem_4_1` and those of `theorem_4_2`.
    """
    return theorem_4_1(seed=seed), theorem_4_2(seed=seed)


def growth_rows(inputs: Tensor, targets: Tensor, seed: int = 0, depths: Sequence[int] = (1, 2, 3)) -> list[Row]:
    """Measure how the Hessian of small perceptrons grows as the width of the window shrinks.

    Args:
        inputs: inputs (N, features).
        targets: labels (N,).
        seed: seed of the weights.
        depths: numbers of hidden layers.

    Returns:
        A row for each depth and shape: shape, layers, growth (from `hessian_growth`) and exponent, which are None with
        the reason in `why` where the Hessian could not be measured.
    """
    rows = []
    for depth in depths:
        for shape in (TRI, BOX):
            row = dict(shape=shape.__name__, layers=depth, exponent=None, growth=None, why='')
            try:
                found = hessian_growth(shape, inputs, targets, hidden=(HIDDEN,) * depth, seed=seed)
                row |= dict(exponent=found.exponent, growth=found)
            except A2SGError as error:
                row['why'] = str(error)
            rows.append(row)
    return rows


def pixels(objective: Objective) -> tuple[Tensor, Tensor]:
    """Return inputs and targets for `growth_rows` from the first batch of an objective.

    Images are pooled to at most 8 x 8 pixels, flattened and centred.
    """
    inputs, targets = objective.batches[0]
    if inputs.shape[-1] > 8:
        inputs = torch.nn.functional.adaptive_avg_pool2d(inputs, 8)
    x = inputs.flatten(1)
    return (x - x.mean(0)).cpu(), targets.cpu()


def bridge_rows(group: Group) -> list[Row]:
    """Return the rows of the CV-curvature bridge of all runs of a group, with `method` and `seed`."""
    return [
        dict(row, method=entry.run.method, seed=entry.run.seed)
        for entry in group.entries
        for row in entry.sections['bridge']['layers']
    ]


def layer_theory(group: Group) -> dict[str, Any]:
    """Evaluate Theorem 4.2 in the layers and time steps of a group's runs, after training.

    Returns:
        Counts of layers and time steps:

        - cases: all of them
        - above: those with kappa > 0
        - holds: those that meet the theorem's condition L kappa > sigma^2
        - possible: those that would meet it with some width
        - smaller, smaller_h1: those that meet it and where ASY's CV is below TRI's for a fitted Gaussian, with h = 1/2
          and h = 1
        - measured: those of `measurable` that meet it and where ASY's CV is below TRI's for the measured potentials,
          with h = 1/2

        and `median`, the median of L kappa / sigma^2, or None without a case.
    """
    count = dict.fromkeys(('cases', 'above', 'holds', 'possible', 'smaller', 'smaller_h1', 'measured', 'measurable'), 0)
    ratios = []
    for entry in group.entries:
        section = entry.sections['variation']
        for row, theory in zip(section['layers'], section['theory']):
            if theory['ratio'] is None:
                continue
            ratios.append(theory['ratio'])
            count['cases'] += 1
            count['above'] += theory['ratio'] > 0
            # L kappa = 2 beta (v_threshold - beta - mu) is largest for the beta halfway from mu to the threshold
            room = row['v_threshold'] - theory['mu']
            count['possible'] += room > 0 and room * room / 2 > theory['sigma'] ** 2
            if not theory['holds']:
                continue
            count['holds'] += 1
            if None not in (theory['cv_tri'], *theory['cv_asy'].values()):
                count['smaller'] += theory['cv_asy'][str(BIAS)] < theory['cv_tri']
                count['smaller_h1'] += theory['cv_asy']['1.0'] < theory['cv_tri']
            if row['cv_asy'] is not None and row['cv_tri'] is not None:
                count['measurable'] += 1
                count['measured'] += row['cv_asy'] < row['cv_tri']
    return dict(count, median=statistics.median(ratios) if ratios else None)


def condition_curves(group: Group, method: str) -> list[tuple[list[int], list[list[float]]]]:
    """Return L kappa / sigma^2 during the training of each run of a method.

    Returns:
        (iterations, [values of all layers and time steps]) of each run with a log that has them.
    """
    curves = []
    for entry in group.methods.get(method, []):
        thresholds = {row['layer']: row['v_threshold'] for row in entry.sections['variation']['layers']}
        try:
            curves.append(theorem_curve(read_adaptation_log(entry.run.path), thresholds))
        except DataError:
            continue  # a note of the section `training` says so
    return curves
