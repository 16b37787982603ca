"""The paper's argument as a list of claims, each judged by what was measured. `verdicts` has the rules."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from a2sg_zoo.analysis.compare import SHARPNESS, Entry, Group
from a2sg_zoo.analysis.measures.fisher import WHOLE
from a2sg_zoo.evidence.theory import BIAS, Row, bridge_rows, condition_curves, layer_theory
from a2sg_zoo.evidence.verdicts import Claim, Evidence, for_all, order, order_in_all, rank_correlation, rises, slope

# {topic of a claim: heading of its section}
TOPICS = dict(
    variation='Lower variation of local gradients',
    consistency='Consistency over time',
    flatness='Flatter minima',
    shape='Triangle and rectangle',
    generalisation='Better generalisation',
    link='Flatness and test error',
    bridge='The CV-curvature bridge',
    theorems='Theorems 4.1 and 4.2',
    growth='The Hessian grows as 1 / beta^2',
    energy='Firing and energy',
)
FIXED_TRI, FIXED_BOX, FIXED_ASY, STASG, A2SG = 'fixed TRI', 'fixed BOX', 'fixed ASY', 'ST-ASG', 'A2SG'

# how a claim begins that is judged by a rank correlation over runs
CORRELATION = 'Runs with a larger'

# layers with CV < 1 that a slope needs
_LEAST_LAYERS = 8


class Order(NamedTuple):
    """A claim that one method has a lower or higher value of a measure than another.

    Attributes:
        topic: key of `TOPICS`.
        text: the claim.
        measure: key of the entries' values.
        a: name of the method.
        b: name of the method that it is compared with.
        wanted: 'lower' or 'higher'.
    """

    topic: str
    text: str
    measure: str
    a: str
    b: str
    wanted: str


ORDERS = [
    Order(*claim)
    for claim in (
        ('variation', 'A2SG has a lower CV than fixed TRI, over training', 'cv_training', A2SG, FIXED_TRI, 'lower'),
        ('variation', 'A2SG has a lower SGV than fixed TRI, over training', 'sgv_training', A2SG, FIXED_TRI, 'lower'),
        (
            'variation',
            'The asymmetric shape alone lowers CV: fixed ASY against fixed TRI',
            'cv_training',
            FIXED_ASY,
            FIXED_TRI,
            'lower',
        ),
        (
            'variation',
            'The gradient variance of ASY is below that of TRI: fixed ASY against fixed TRI',
            'variance_training',
            FIXED_ASY,
            FIXED_TRI,
            'lower',
        ),
        (
            'variation',
            'The search alone lowers the SGV that it minimises: ST-ASG against fixed TRI',
            'sgv_training',
            STASG,
            FIXED_TRI,
            'lower',
        ),
        (
            'consistency',
            'A2SG has a higher TGC than fixed TRI, over training',
            'tgc_training',
            A2SG,
            FIXED_TRI,
            'higher',
        ),
        (
            'consistency',
            'The search alone raises the TGC that it maximises: ST-ASG against fixed TRI',
            'tgc_training',
            STASG,
            FIXED_TRI,
            'higher',
        ),
        *(
            ('flatness', f'A2SG ends flatter than fixed TRI: {head}', measure, A2SG, FIXED_TRI, 'lower')
            for measure, head in SHARPNESS.items()
        ),
        *(
            ('shape', f'Fixed BOX ends flatter than fixed TRI: {head}', measure, FIXED_BOX, FIXED_TRI, 'lower')
            for measure, head in SHARPNESS.items()
        ),
        ('generalisation', 'A2SG has a higher test accuracy than fixed TRI', 'accuracy', A2SG, FIXED_TRI, 'higher'),
        ('generalisation', 'A2SG has a higher test accuracy than fixed BOX', 'accuracy', A2SG, FIXED_BOX, 'higher'),
        (
            'generalisation',
            'A2SG has a smaller gap between test and training loss than fixed TRI',
            'gap',
            A2SG,
            FIXED_TRI,
            'lower',
        ),
        (
            'generalisation',
            'A2SG has a smaller gap between training and test accuracy than fixed TRI',
            'accuracy_gap',
            A2SG,
            FIXED_TRI,
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
        ('energy', 'A2SG fires less than fixed TRI', 'firing_rate', A2SG, FIXED_TRI, 'lower'),
        ('energy', 'A2SG takes less energy than fixed TRI', 'energy_nj', A2SG, FIXED_TRI, 'lower'),
    )
]


class Link(NamedTuple):
    """A link of the paper's argument, with a section on the first page.

    Attributes:
        title: heading of its section.
        steps: {what A2SG does against fixed TRI: measure of the claim in `ORDERS` that says so}.
        columns: {measure: title of its column in the table of methods}.
        topic: topic of the rank correlations that join it to the link before; '' for the first link.
        follows: what those correlations should show.
    """

    title: str
    steps: dict[str, str]
    columns: dict[str, str]
    topic: str = ''
    follows: str = ''


LINKS = (
    Link(
        'Link 1: local gradients vary less and agree over time',
        {'CV is lower': 'cv_training', 'SGV is lower': 'sgv_training', 'TGC is higher': 'tgc_training'},
        dict(cv_training='CV', sgv_training='SGV', tgc_training='TGC'),
    ),
    Link(
        'Link 2: minima are flatter',
        {
            'the Fisher eigenvalue is lower': 'fisher',
            'the Fisher eigenvalue is lower with one surrogate for all': 'fisher_common',
            'the loss rises less': 'rise',
        },
        dict(fisher='Fisher eigenvalue', fisher_common='with one surrogate', rise='rise of the loss'),
        'bridge',
        'a larger CV should go with a larger Fisher eigenvalue',
    ),
    Link(
        'Link 3: test accuracy is higher, and the gap to training is smaller',
        {
            'test accuracy is higher': 'accuracy',
            'the gap of accuracy is smaller': 'accuracy_gap',
            'the gap of loss is smaller': 'gap',
        },
        dict(train_accuracy='training, %', accuracy='test, %', accuracy_gap='gap, points', gap='gap of loss'),
        'link',
        'sharper minima should have a larger test error',
    ),
)


def chain(claims: Sequence[Claim]) -> list[tuple[Link, dict[str, Claim]]]:
    """Return the links with the claim of each of their steps.

    Args:
        claims: from `evaluate`.
    """
    texts = {o.measure: o.text for o in ORDERS if (o.a, o.b) == (A2SG, FIXED_TRI)}
    by_text = {claim.text: claim for claim in claims}
    return [(link, {step: by_text[texts[measure]] for step, measure in link.steps.items()}) for link in LINKS]


def evaluate(groups: Mapping[str, Group], theorems: tuple[list[Row], list[Row]], growths: Sequence[Row]) -> list[Claim]:
    """Judge every claim.

    Args:
        groups: {data set: measured runs}.
        theorems: from `theory.theorem_tables`.
        growths: from `theory.growth_rows`.

    Returns:
        The claims in the order of `TOPICS`.
    """
    claims = [
        Claim(o.topic, o.text, [order(group, o.measure, o.a, o.b, o.wanted, name) for name, group in groups.items()])
        for o in ORDERS
    ]
    claims += [
        Claim(
            'link',
            f'{CORRELATION} {head.removeprefix("largest ")} have a larger test error',
            [rank_correlation(group, measure, 'test_error', name) for name, group in groups.items()],
        )
        for measure, head in SHARPNESS.items()
    ]
    claims += _layers(groups) + _bridge(groups) + _theorems(groups, *theorems) + _condition(groups) + _growth(growths)
    topics = list(TOPICS)
    return sorted(claims, key=lambda claim: topics.index(claim.topic))


def _layers(groups: Mapping[str, Group]) -> list[Claim]:
    def eigenvalues(section):
        def read(entry: Entry) -> dict[str, float]:
            return {layer: x for layer, x in entry.sections[section]['eigenvalues'].items() if layer != WHOLE}

        return read

    return [
        Claim(
            'flatness',
            f'In every layer, A2SG has a lower largest Fisher eigenvalue than fixed TRI{more}',
            [
                order_in_all(group, eigenvalues(section), A2SG, FIXED_TRI, 'lower', name, 'layers')
                for name, group in groups.items()
            ],
        )
        for section, more in (('fisher', ''), ('common', ', same surrogate'))
    ]


def _bridge(groups: Mapping[str, Group]) -> list[Claim]:
    return [
        Claim(
            'bridge',
            'The largest Fisher eigenvalue of a layer grows linearly with CV(delta)',
            [_linear(name, bridge_rows(group)) for name, group in groups.items()],
        ),
        *(
            Claim(
                'bridge',
                f'{CORRELATION} CV after training have a larger Fisher eigenvalue{more}',
                [rank_correlation(group, 'cv', measure, name) for name, group in groups.items()],
            )
            for measure, more in (('fisher', ''), ('fisher_common', ', same surrogate'))
        ),
    ]


def _linear(where: str, rows: Sequence[Row]) -> Evidence:
    """The slope of lambda_max / (mu^2 Lambda) - 1 over CV where the linear term can lead, that is for CV < 1.

    For a larger CV, mu is what is left when terms of either sign cancel. Both quantities are divided by it, so their
    slope says nothing more.
    """
    cvs = [row['cv'] for row in rows if row['cv'] is not None]
    pairs = [
        (row['cv'], row['measured'] / row['rank_one'] - 1)
        for row in rows
        if row['cv'] and row['cv'] < 1 and row['measured'] > row['rank_one'] > 0
    ]
    if len(pairs) < _LEAST_LAYERS:
        extent = f'CV = Std / |mu| runs from {min(cvs):,.3g} to {max(cvs):,.3g}' if cvs else 'mu is 0 in every layer'
        return Evidence(
            where,
            0,
            f'not testable here: {extent}; it is below 1 in {sum(cv < 1 for cv in cvs)} of {len(rows)} layers and runs',
        )
    return slope(pairs, 1, 2, where, 'lambda_max / (mu^2 Lambda) - 1 over CV, layers and runs with CV < 1')


def _theorems(groups: Mapping[str, Group], first: Sequence[Row], second: Sequence[Row]) -> list[Claim]:
    def share(where: str, row: Row, text: str) -> Evidence:
        return for_all(where, round(row['share'] * row['cases']), row['cases'], text)

    def asy_on_random_cases(h: float) -> list[Evidence]:
        (row,) = (row for row in second if row['h'] == h and row['symmetric'] == 'TRI' and row['condition_holds'])
        return [share('random Gaussians', row, 'cases with CV_asy < CV_tri')]

    def asy_in_layers(held: str, cases: str) -> list[Evidence]:
        return [
            for_all(name, count[held], count[cases], 'layers and steps with CV_asy < CV_tri')
            for name, count in counts.items()
        ]

    tri_smaller = 'random Gaussians where CV_tri is smaller'
    convex = [row for row in first if row['family'].startswith('convex')]
    (box,) = (row for row in first if row['shape'] == 'BOX' and row['constraint'] == 'same window')
    counts = {name: layer_theory(group) for name, group in groups.items()}
    claims = {
        'Theorem 4.1 among convex shapes that end at 0: TRI has the least CV': [
            share(row['shape'], row, tri_smaller) for row in convex
        ],
        'Theorem 4.1 without a constraint: TRI has a lower CV than BOX with the same window': [
            share('BOX', box, tri_smaller)
        ],
        f'Theorem 4.2 for h = {BIAS:g}: CV_asy < CV_tri where L kappa > sigma^2': asy_on_random_cases(BIAS),
        **{f'Theorem 4.2 for h = {h:g}': asy_on_random_cases(h) for h in (0.6, 1.0)},
        f'Theorem 4.2 for h = {BIAS:g} in trained layers, with a fitted Gaussian': (asy_in_layers('smaller', 'holds')),
        f'Theorem 4.2 for h = {BIAS:g} in trained layers, with the measured potentials': (
            asy_in_layers('measured', 'measurable')
        ),
    }
    return [Claim('theorems', text, evidence) for text, evidence in claims.items()]


def _condition(groups: Mapping[str, Group]) -> list[Claim]:
    def share(ratios: Sequence[float]) -> float:
        return sum(ratio > 1 for ratio in ratios) / len(ratios)

    def begin_and_end(group: Group, method: str) -> list[tuple[float, float]]:
        curves = [ratios for _, ratios in condition_curves(group, method)]
        return [(share(ratios[0]), share(ratios[-1])) for ratios in curves if ratios[0] and ratios[-1]]

    return [
        Claim(
            'theorems',
            f'During training, more and more layers of {method} meet the condition L kappa > sigma^2',
            [
                rises(begin_and_end(group, method), name, 'share of layers and steps that meet it')
                for name, group in groups.items()
            ],
        )
        for method in (FIXED_ASY, A2SG)
    ]


def _growth(rows: Sequence[Row]) -> list[Claim]:
    exponents, sizes = [], []
    for row in rows:
        where = f'{row["shape"]}, {row["layers"]} hidden layer{"s" * (row["layers"] > 1)}'
        if row['exponent'] is None:
            exponents.append(Evidence(where, 0, row['why']))
            continue
        growth = row['growth']
        # Omega means at least as fast; a tenth is left for the fit
        exponents.append(Evidence(where, 1 if row['exponent'] >= 1.9 else -1, f'exponent {row["exponent"]:.2f}'))
        larger = [snn > growth.relu for snn in growth.snn]
        sizes.append(for_all(where, sum(larger), len(larger), "widths with a Hessian above the ReLU network's"))
    return [
        Claim('growth', 'The Hessian grows at least as beta^-2 (exponent of 1.9 or more)', exponents),
        Claim('growth', 'For beta < 1 the spiking network has a larger Hessian than the ReLU network', sizes),
    ]
