"""The paper's argument as a list of claims, each put to what was measured; see `claims` for the rules."""

import torch

from a2sg_zoo.analysis.claims import Claim, Evidence, for_all, order, rank_correlation, slope
from a2sg_zoo.analysis.compare import SHARPNESS
from a2sg_zoo.analysis.growth import hessian_growth
from a2sg_zoo.analysis.theory import theorem_4_1, theorem_4_2
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.surrogates import BOX, TRI

TOPICS = dict(
    variation='Lower variation of local gradients',
    consistency='Consistency over time',
    flatness='Flatter minima',
    shape='Triangle and rectangle',
    generalisation='Better generalisation',
    link='Flat goes with good',
    bridge='The CV-curvature bridge',
    theorems='Theorems 4.1 and 4.2',
    growth='The Hessian grows as 1 / beta^2')
TRI_, BOX_, ASY_, STASG, A2SG = 'fixed TRI', 'fixed BOX', 'fixed ASY', 'ST-ASG', 'A2SG'
BIAS = 0.5  # h of ASY as configured here
# (topic, claim, measure, method, than which, how)
_ORDERS = [
    ('variation', 'A2SG has a lower CV than fixed TRI, over training', 'cv_training', A2SG, TRI_, 'lower'),
    ('variation', 'A2SG has a lower SGV than fixed TRI, over training', 'sgv_training', A2SG, TRI_, 'lower'),
    ('variation', 'The asymmetric shape alone lowers CV: fixed ASY against fixed TRI', 'cv_training', ASY_, TRI_,
     'lower'),
    ('variation', 'The search alone lowers the SGV that it minimises: ST-ASG against fixed TRI', 'sgv_training', STASG,
     TRI_, 'lower'),
    ('consistency', 'A2SG has a higher TGC than fixed TRI, over training', 'tgc_training', A2SG, TRI_, 'higher'),
    ('consistency', 'The search alone raises the TGC that it maximises: ST-ASG against fixed TRI', 'tgc_training',
     STASG, TRI_, 'higher'),
    *(('flatness', f'A2SG ends flatter than fixed TRI: {head}', measure, A2SG, TRI_, 'lower')
      for measure, head in SHARPNESS.items()),
    *(('shape', f'Fixed BOX ends flatter than fixed TRI: {head}', measure, BOX_, TRI_, 'lower')
      for measure, head in SHARPNESS.items()),
    ('generalisation', 'A2SG has a higher test accuracy than fixed TRI', 'accuracy', A2SG, TRI_, 'higher'),
    ('generalisation', 'A2SG has a higher test accuracy than fixed BOX', 'accuracy', A2SG, BOX_, 'higher'),
    ('generalisation', 'A2SG has a smaller gap between test and training loss than fixed TRI', 'gap', A2SG, TRI_,
     'lower'),
    ('generalisation', 'The asymmetric shape improves the search: A2SG has a higher test accuracy than ST-ASG',
     'accuracy', A2SG, STASG, 'higher'),
]


def growth_rows(inputs, targets, seed=0, depths=(1, 2, 3)):
    """[dict(shape, layers=hidden layers, exponent, growth=Growth or None, why)] of small perceptrons on labelled
    data."""
    rows = []
    for depth in depths:
        for shape in (TRI, BOX):
            row = dict(shape=shape.__name__, layers=depth, exponent=None, growth=None, why='')
            try:
                found = hessian_growth(shape, inputs, targets, hidden=(64,) * depth, seed=seed)
                row |= dict(exponent=found.exponent, growth=found)
            except A2SGError as error:
                row['why'] = str(error)
            rows.append(row)
    return rows


def theorem_tables(seed=0):
    """Theorems 4.1 and 4.2 on random Gaussians: ([rows of 4.1], [rows of 4.2])."""
    return theorem_4_1(seed=seed), theorem_4_2(seed=seed)


def evaluate(groups, theorems, growths):
    """Every claim with its evidence.

    Args:
        groups: {data set: Group}.
        theorems: from `theorem_tables`.
        growths: from `growth_rows`.

    Returns:
        [Claim] in the order of `TOPICS`.
    """
    claims = [Claim(topic, text, [order(group, measure, a, b, wanted, name) for name, group in groups.items()])
              for topic, text, measure, a, b, wanted in _ORDERS]
    claims += [Claim('link', f'Runs with a larger {head.removeprefix("largest ")} have a larger test error',
                     [rank_correlation(group, measure, 'test_error', name) for name, group in groups.items()])
               for measure, head in SHARPNESS.items()]
    claims += _bridge(groups) + _theorems(groups, *theorems) + _growth(growths)
    order_of = list(TOPICS)
    return sorted(claims, key=lambda claim: order_of.index(claim.topic))


def bridge_rows(group):
    """Rows of the bridge of all runs of a group, with `method` and `seed`."""
    return [dict(row, method=entry.run.method, seed=entry.run.seed)
            for entry in group.entries for row in entry.sections['bridge']['layers']]


def excess(rows):
    """[(CV, lambda_max / (mu^2 Lambda) - 1)] where both are positive: what the claim says grows linearly."""
    return [(row['cv'], row['measured'] / row['rank_one'] - 1) for row in rows
            if row['cv'] and row['rank_one'] > 0 and row['measured'] > row['rank_one']]


def _bridge(groups):
    linear, runs, bound = [], [], []
    for name, group in groups.items():
        rows = bridge_rows(group)
        sound = sum(row['measured'] <= row['triangle'] * (1 + 1e-5) for row in rows)
        bound.append(for_all(name, sound, len(rows), 'layers and runs in which the bound holds'))
        linear.append(slope(excess(rows), 1, 2, name, 'lambda_max / (mu^2 Lambda) - 1 over CV, all layers and runs'))
        runs.append(rank_correlation(group, 'cv', 'fisher', name))
    return [Claim('bridge', 'The bound without a constant, (|mu| sqrt(Lambda) + sqrt(lambda_eps))^2, is never exceeded',
                  bound),
            Claim('bridge', 'The largest Fisher eigenvalue of a layer grows linearly with CV(delta)', linear),
            Claim('bridge', 'Runs with a larger CV after training have a larger Fisher eigenvalue', runs)]


def layer_theory(group):
    """Of layers and time steps of a group's runs: dict(cases, holds, smaller, smaller_h1): how many there are, in how
    many the condition of Theorem 4.2 holds, and in how many of these ASY's CV is below TRI's for a fitted Gaussian (h =
    1/2 and 1) and for the potentials as they are (h = 1/2, `measured`)."""
    count = dict(cases=0, holds=0, smaller=0, smaller_h1=0, measured=0, measurable=0)
    for entry in group.entries:
        section = entry.sections['variation']
        for row, theory in zip(section['layers'], section['theory']):
            if theory['ratio'] is None:
                continue
            count['cases'] += 1
            if not theory['holds']:
                continue
            count['holds'] += 1
            count['smaller'] += theory['cv_asy'][str(BIAS)] < theory['cv_tri']
            count['smaller_h1'] += theory['cv_asy']['1.0'] < theory['cv_tri']
            if row['cv_asy'] is not None and row['cv_tri'] is not None:
                count['measurable'] += 1
                count['measured'] += row['cv_asy'] < row['cv_tri']
    return count


def _theorems(groups, first, second):
    def random_cases(h):
        row, = (row for row in second if row['h'] == h and row['symmetric'] == 'TRI' and row['condition_holds'])
        return for_all('random Gaussians', round(row['share'] * row['cases']), row['cases'],
                       'cases with CV_asy < CV_tri')

    convex = [row for row in first if row['family'].startswith('convex')]
    same_box, = (row for row in first if row['shape'] == 'BOX' and row['constraint'] == 'same window')
    counts = {name: layer_theory(group) for name, group in groups.items()}
    return [
        Claim('theorems', 'Theorem 4.1 among convex shapes that end at 0: TRI has the least CV', [for_all(
            row['shape'], round(row['share'] * row['cases']), row['cases'], 'random Gaussians with CV_tri the smaller')
            for row in convex]),
        Claim('theorems', 'Theorem 4.1 without a constraint, with BOX at the same window', [for_all(
            'BOX', round(same_box['share'] * same_box['cases']), same_box['cases'],
            'random Gaussians with CV_tri the smaller')]),
        Claim('theorems', f'Theorem 4.2 for h = {BIAS:g}: CV_asy < CV_tri where L kappa > sigma^2',
              [random_cases(BIAS)]),
        *(Claim('theorems', f'Theorem 4.2 for h = {h:g}', [random_cases(h)]) for h in (0.6, 1.0)),
        Claim('theorems', f'Theorem 4.2 for h = {BIAS:g} in trained layers that meet its condition, Gaussian fitted', [
            for_all(name, count['smaller'], count['holds'], 'layers and steps with CV_asy < CV_tri')
            for name, count in counts.items()]),
        Claim('theorems', f'The same with the potentials as they are, h = {BIAS:g}', [
            for_all(name, count['measured'], count['measurable'], 'layers and steps with CV_asy < CV_tri')
            for name, count in counts.items()])]


def _growth(rows):
    evidence, above = [], []
    for row in rows:
        where = f'{row["shape"]}, {row["layers"]} hidden layer{"s" * (row["layers"] > 1)}'
        if row['exponent'] is None:
            evidence.append(Evidence(where, 0, row['why']))
            continue
        growth = row['growth']
        # Omega: at least as fast, with a tenth for the fit
        evidence.append(Evidence(where, 1 if row['exponent'] >= 1.9 else -1, f'exponent {row["exponent"]:.2f}'))
        narrow = [snn > growth.relu for beta, snn in zip(growth.betas, growth.snn)]
        above.append(for_all(where, sum(narrow), len(narrow), 'windows with a Hessian above the ReLU network\'s'))
    return [Claim('growth', 'The Hessian grows at least as beta^-2 (exponent of 1.9 or more)', evidence),
            Claim('growth', 'For beta < 1 the spiking network has the larger Hessian', above)]


def pixels(objective):
    """(inputs, targets) for `growth_rows`: the objective's first batch, its images pooled to 8 x 8 and centred."""
    inputs, targets = objective.batches[0]
    if inputs.shape[-1] > 8:
        inputs = torch.nn.functional.adaptive_avg_pool2d(inputs, 8)
    x = inputs.flatten(1)
    return (x - x.mean(0)).cpu(), targets.cpu()
