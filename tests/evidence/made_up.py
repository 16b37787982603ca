"""Made-up groups for the tests of the two pages, and the pages of them."""

import json
import re
from types import SimpleNamespace

from a2sg_zoo.analysis.compare import Entry, Group
from a2sg_zoo.analysis.measures.fisher import WHOLE
from a2sg_zoo.analysis.measures.growth import Growth
from a2sg_zoo.analysis.measures.theory import theorem_4_1, theorem_4_2
from a2sg_zoo.evidence import figures
from a2sg_zoo.evidence.details import Theory, write_details
from a2sg_zoo.evidence.document import write_document
from a2sg_zoo.evidence.paper import evaluate

METHODS = 'fixed TRI', 'fixed BOX', 'fixed ASY', 'ST-ASG', 'A2SG'
NUMBERS = dict(
    log_interval=1,
    rho=0.05,
    cases=300,
    width=64,
    betas='0.1 to 0.8',
    parameters='1,000',
    sizes='8 x 8',
    images='100 and 200',
)
# what A2SG has more than the fixed triangle, on two data sets; runs of a method differ by 0.1 from seed to seed
SHIFTS = dict(
    cv_training=(-1, -1),
    tgc_training=(1, 0),
    fisher=(1, 1),
    fisher_common=(-1, 1),
    rise=(0, 0),
    accuracy=(1, 1),
    accuracy_gap=(-1, 1),
    energy_nj=(-1, 0),
)


def make_entry(folder, method, seed, data):
    path = folder / str(data) / f'{method}_{seed}'
    path.mkdir(parents=True)
    record = dict(iter=1, layers=dict(fc=dict(beta=[0.5], sgv=1.0, tgc=[None], cv=[1.0], rate=0.1)))
    (path / 'adaptation.jsonl').write_text(json.dumps(record) + '\n')
    values = {key: 10 + seed / 10 + (shift[data] if method == 'A2SG' else 0) for key, shift in SHIFTS.items()}
    eigenvalues = {'fc': values['fisher'], WHOLE: values['fisher']}
    layer = dict(layer='fc', t=1, v_threshold=1.0, cv_asy=0.4, cv_tri=0.5)
    theory = dict(
        layer='fc', t=1, mu=0.0, sigma=0.5, ratio=2.0, holds=True, cv_tri=0.5, cv_asy={'0.5': 0.6, '1.0': 0.3}
    )
    bridge = dict(
        layer='fc',
        measured=2.0,
        mu=1.0,
        cv=3.0,
        cv_abs=1.0,
        rank_one=1.0,
        perturbation=1.0,
        triangle=4.0,
        c=1.0,
        relative_c=1.0,
        bound=4.0,
    )
    return Entry(
        SimpleNamespace(method=method, seed=seed, path=path, name=path.name),
        dict(
            accuracy=dict(values=values),
            search=dict(values=dict(width_low=0.25, width_high=0.5) if method == 'A2SG' else {}),
            training=dict(values={}, curves={}),
            fisher=dict(values={}, eigenvalues=eigenvalues),
            common=dict(values={}, eigenvalues=eigenvalues),
            variation=dict(values={}, layers=[layer], theory=[theory]),
            bridge=dict(values={}, layers=[bridge]),
        ),
        1000,
    )


def make_pages(folder, seeds, monkeypatch):
    """(claims, text of the first page, text of the second) of two data sets, with `seeds` runs of each method."""
    groups = {
        name: Group(name, [make_entry(folder, method, seed, data) for method in METHODS for seed in range(seeds)])
        for data, name in enumerate(('first', 'second'))
    }
    growth = Growth((0.1, 0.2), (4.0, 1.0), 0.5, 2.0, (2.0,))
    growths = [
        dict(shape='TRI', layers=2, exponent=2.0, growth=growth, why=''),
        dict(shape='BOX', layers=2, exponent=None, growth=None, why='the Hessian is 0'),
    ]
    theory = Theory((theorem_4_1(300), theorem_4_2(300)), growths, [])
    claims = evaluate(groups, theory.theorems, growths)
    # takes ten times as long as the rest
    monkeypatch.setattr(figures, 'save_picture', lambda *args, **kwargs: None)
    details = write_details(folder, groups, claims, theory, NUMBERS, {}, ('one', {}))
    text = write_document(folder, groups, claims, 'python tools/why_it_works.py', [('data', 'none')], NUMBERS)
    for name, page in (('why_it_works', text), ('why_it_works_details', details)):
        assert (folder / f'{name}.md').read_text().startswith(page)
    return claims, text, details


def rows_after(text, head):
    """The cells of the table that begins with a head."""
    lines = text[text.index(f'| {head} |') :].split('\n\n')[0].splitlines()[2:]
    return [[cell.strip().replace(r'\|', '|') for cell in re.split(r'(?<!\\)\|', line)[1:-1]] for line in lines]
