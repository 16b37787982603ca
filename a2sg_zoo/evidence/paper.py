"""The paper's argument as a list of claims, each put to what was measured; see `claims` for the rules."""

import statistics

import torch

from a2sg_zoo.analysis.compare import SHARPNESS
from a2sg_zoo.analysis.measures.fisher import WHOLE
from a2sg_zoo.analysis.measures.growth import hessian_growth
from a2sg_zoo.analysis.measures.theory import theorem_4_1, theorem_4_2
from a2sg_zoo.analysis.measures.variation import read_adaptation_log, theorem_curve
from a2sg_zoo.errors import A2SGError, DataError
from a2sg_zoo.evidence.verdicts import Claim, Evidence, for_all, order, order_in_all, rank_correlation, rises, slope
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
    growth='The Hessian grows as 1 / beta^2',
    energy='Firing and energy',
)
TRI_, BOX_, ASY_, STASG, A2SG = 'fixed TRI', 'fixed BOX', 'fixed ASY', 'ST-ASG', 'A2SG'
BIAS = 0.5  # h of ASY as configured here
WIDTH = 64  # of the perceptrons whose Hessian is watched as the window narrows
_LINEAR = 8  # layers with CV < 1 from which a slope may be fitted
# (topic, claim, measure, method, than which, how)
_ORDERS = [
    ('variation', 'A2SG has a lower CV than fixed TRI, over training', 'cv_training', A2SG, TRI_, 'lower'),
    ('variation', 'A2SG has a lower SGV than fixed TRI, over training', 'sgv_training', A2SG, TRI_, 'lower'),
    (
        'variation',
        'The asymmetric shape alone lowers CV: fixed ASY against fixed TRI',
        'cv_training',
        ASY_,
        TRI_,
        'lower',
    ),
    (
        'variation',
        'The gradient variance of ASY is below that of TRI: fixed ASY against fixed TRI',
        'variance_training',
        ASY_,
        TRI_,
        'lower',
    ),
    (
        'variation',
        'The search alone lowers the SGV that it minimises: ST-ASG against fixed TRI',
        'sgv_training',
        STASG,
        TRI_,
        'lower',
    ),
    ('consistency', 'A2SG has a higher TGC than fixed TRI, over training', 'tgc_training', A2SG, TRI_, 'higher'),
    (
        'consistency',
        'The search alone raises the TGC that it maximises: ST-ASG against fixed TRI',
        'tgc_training',
        STASG,
        TRI_,
        'higher',
    ),
    *(
        ('flatness', f'A2SG ends flatter than fixed TRI: {head}', measure, A2SG, TRI_, 'lower')
        for measure, head in SHARPNESS.items()
    ),
    *(
        ('shape', f'Fixed BOX ends flatter than fixed TRI: {head}', measure, BOX_, TRI_, 'lower')
        for measure, head in SHARPNESS.items()
    ),
    ('generalisation', 'A2SG has a higher test accuracy than fixed TRI', 'accuracy', A2SG, TRI_, 'higher'),
    ('generalisation', 'A2SG has a higher test accuracy than fixed BOX', 'accuracy', A2SG, BOX_, 'higher'),
    (
        'generalisation',
        'A2SG has a smaller gap between test and training loss than fixed TRI',
        'gap',
        A2SG,
        TRI_,
        'lower',
    ),
    (
        'generalisation',
        'The asymmetric shape improves the search: A2SG has a higher test accuracy than ST-ASG',
        'accuracy',
        A2SG,
        STASG,
        'higher',
    ),
    ('energy', 'A2SG fires less than fixed TRI', 'firing_rate', A2SG, TRI_, 'lower'),
    ('energy', 'A2SG takes less energy than fixed TRI', 'energy_nj', A2SG, TRI_, 'lower'),
]
# the links of the argument, for the summary: {link: (topic, measure)} of A2SG against fixed TRI
CHAIN = {
    'local gradients vary less': ('variation', 'cv_training'),
    'they agree better over time': ('consistency', 'tgc_training'),
    'minima are flatter: Fisher, own surrogate': ('flatness', 'fisher'),
    'minima are flatter: Fisher, one surrogate for all': ('flatness', 'fisher_common'),
    'minima are flatter: rise of the loss': ('flatness', 'rise'),
    'test accuracy is higher': ('generalisation', 'accuracy'),
    'less energy is taken': ('energy', 'energy_nj'),
}


def chain(claims):
    """{link: Claim} of `CHAIN`."""
    texts = {(topic, measure): text for topic, text, measure, a, b, _ in reversed(_ORDERS) if (a, b) == (A2SG, TRI_)}
    by_text = {claim.text: claim for claim in claims}
    return {link: by_text[texts[key]] for link, key in CHAIN.items()}


def growth_rows(inputs, targets, seed=0, depths=(1, 2, 3)):
    """[dict(shape, layers=hidden layers, exponent, growth=Growth or None, why)] of small perceptrons on labelled
    data."""
    rows = []
    for depth in depths:
        for shape in (TRI, BOX):
            row = dict(shape=shape.__name__, layers=depth, exponent=None, growth=None, why='')
            try:
                found = hessian_growth(shape, inputs, targets, hidden=(WIDTH,) * depth, seed=seed)
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
    claims = [
        Claim(topic, text, [order(group, measure, a, b, wanted, name) for name, group in groups.items()])
        for topic, text, measure, a, b, wanted in _ORDERS
    ]
    claims += [
        Claim(
            'link',
            f'Runs with a larger {head.removeprefix("largest ")} have a larger test error',
            [rank_correlation(group, measure, 'test_error', name) for name, group in groups.items()],
        )
        for measure, head in SHARPNESS.items()
    ]
    claims += _layers(groups) + _bridge(groups) + _theorems(groups, *theorems) + _growth(growths)
    order_of = list(TOPICS)
    return sorted(claims, key=lambda claim: order_of.index(claim.topic))


def _layers(groups):
    def of(section):
        return lambda entry: {layer: x for layer, x in entry.sections[section]['eigenvalues'].items() if layer != WHOLE}

    return [
        Claim(
            'flatness',
            f'In every layer, A2SG has a lower largest Fisher eigenvalue than fixed TRI{more}',
            [order_in_all(group, of(section), A2SG, TRI_, 'lower', name, 'layers') for name, group in groups.items()],
        )
        for section, more in (('fisher', ''), ('common', ', same surrogate'))
    ]


def bridge_rows(group):
    """Rows of the bridge of all runs of a group, with `method` and `seed`."""
    return [
        dict(row, method=entry.run.method, seed=entry.run.seed)
        for entry in group.entries
        for row in entry.sections['bridge']['layers']
    ]


def _bridge(groups):
    return [
        Claim(
            'bridge',
            'The largest Fisher eigenvalue of a layer grows linearly with CV(delta)',
            [_linear(name, bridge_rows(group)) for name, group in groups.items()],
        ),
        *(
            Claim(
                'bridge',
                f'Runs with a larger CV after training have a larger Fisher eigenvalue{more}',
                [rank_correlation(group, 'cv', measure, name) for name, group in groups.items()],
            )
            for measure, more in (('fisher', ''), ('fisher_common', ', same surrogate'))
        ),
    ]


def _linear(where, rows):
    """The slope of lambda_max / (mu^2 Lambda) - 1 over CV where the linear term can lead, CV < 1. Beyond, mu is what is
    left over when terms of either sign cancel, both quantities are divided by it, and their slope says no more."""
    cvs = [row['cv'] for row in rows if row['cv'] is not None]
    pairs = [
        (row['cv'], row['measured'] / row['rank_one'] - 1)
        for row in rows
        if row['cv'] and row['cv'] < 1 and row['measured'] > row['rank_one'] > 0
    ]
    if len(pairs) < _LINEAR:
        extent = f'CV = Std / |mu| runs from {min(cvs):,.3g} to {max(cvs):,.3g}' if cvs else 'mu is 0 in every layer'
        return Evidence(
            where,
            0,
            f'not testable here: {extent}; it is below 1 in {sum(cv < 1 for cv in cvs)} of {len(rows)} layers and runs',
        )
    return slope(pairs, 1, 2, where, 'lambda_max / (mu^2 Lambda) - 1 over CV, layers and runs with CV < 1')


def layer_theory(group):
    """Theorem 4.2 in the layers and time steps of a group's runs, after training.

    Returns:
        dict of counts: cases; above, those with kappa > 0; holds, those that meet the condition; possible, those that
        some window would make meet it; and of those that hold, smaller, smaller_h1: where ASY's CV is below TRI's for a
        fitted Gaussian (h = 1/2 and 1), measured: for the potentials as they are (h = 1/2), of `measurable`. And
        `median` of L kappa / sigma^2, None without a case.
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


def condition_curves(group, method):
    """[([iteration], [[L kappa / sigma^2 of every layer and time step]])] over the training of a method's runs."""
    curves = []
    for entry in group.methods.get(method, []):
        thresholds = {row['layer']: row['v_threshold'] for row in entry.sections['variation']['layers']}
        try:
            curves.append(theorem_curve(read_adaptation_log(entry.run.path), thresholds))
        except DataError:
            continue  # noted in the section `training`
    return curves


def _condition(groups):
    def share(ratios):
        return sum(ratio > 1 for ratio in ratios) / len(ratios)

    return [
        Claim(
            'theorems',
            f'The condition L kappa > sigma^2 is gradually met by the layers of {method}',
            [
                rises(
                    [
                        (share(ratios[0]), share(ratios[-1]))
                        for _, ratios in condition_curves(group, method)
                        if ratios[0] and ratios[-1]
                    ],
                    name,
                    'share of layers and steps that meet it',
                )
                for name, group in groups.items()
            ],
        )
        for method in (ASY_, A2SG)
    ]


def _theorems(groups, first, second):
    def random_cases(h):
        (row,) = (row for row in second if row['h'] == h and row['symmetric'] == 'TRI' and row['condition_holds'])
        return for_all(
            'random Gaussians', round(row['share'] * row['cases']), row['cases'], 'cases with CV_asy < CV_tri'
        )

    convex = [row for row in first if row['family'].startswith('convex')]
    (same_box,) = (row for row in first if row['shape'] == 'BOX' and row['constraint'] == 'same window')
    counts = {name: layer_theory(group) for name, group in groups.items()}
    return [
        Claim(
            'theorems',
            'Theorem 4.1 among convex shapes that end at 0: TRI has the least CV',
            [
                for_all(
                    row['shape'],
                    round(row['share'] * row['cases']),
                    row['cases'],
                    'random Gaussians with CV_tri the smaller',
                )
                for row in convex
            ],
        ),
        Claim(
            'theorems',
            'Theorem 4.1 without a constraint, with BOX at the same window',
            [
                for_all(
                    'BOX',
                    round(same_box['share'] * same_box['cases']),
                    same_box['cases'],
                    'random Gaussians with CV_tri the smaller',
                )
            ],
        ),
        Claim(
            'theorems', f'Theorem 4.2 for h = {BIAS:g}: CV_asy < CV_tri where L kappa > sigma^2', [random_cases(BIAS)]
        ),
        *(Claim('theorems', f'Theorem 4.2 for h = {h:g}', [random_cases(h)]) for h in (0.6, 1.0)),
        Claim(
            'theorems',
            f'Theorem 4.2 for h = {BIAS:g} in trained layers that meet its condition, Gaussian fitted',
            [
                for_all(name, count['smaller'], count['holds'], 'layers and steps with CV_asy < CV_tri')
                for name, count in counts.items()
            ],
        ),
        Claim(
            'theorems',
            f'The same with the potentials as they are, h = {BIAS:g}',
            [
                for_all(name, count['measured'], count['measurable'], 'layers and steps with CV_asy < CV_tri')
                for name, count in counts.items()
            ],
        ),
        *_condition(groups),
    ]


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
        above.append(for_all(where, sum(narrow), len(narrow), "windows with a Hessian above the ReLU network's"))
    return [
        Claim('growth', 'The Hessian grows at least as beta^-2 (exponent of 1.9 or more)', evidence),
        Claim('growth', 'For beta < 1 the spiking network has the larger Hessian', above),
    ]


def pixels(objective):
    """(inputs, targets) for `growth_rows`: the objective's first batch, its images pooled to 8 x 8 and centred."""
    inputs, targets = objective.batches[0]
    if inputs.shape[-1] > 8:
        inputs = torch.nn.functional.adaptive_avg_pool2d(inputs, 8)
    x = inputs.flatten(1)
    return (x - x.mean(0)).cpu(), targets.cpu()
