"""The document of made-up groups says what the made-up numbers mean."""

import json
import re
import shutil
from pathlib import Path
from string import Formatter
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from a2sg_zoo.analysis.compare import Entry, Group
from a2sg_zoo.analysis.measures.fisher import WHOLE
from a2sg_zoo.analysis.measures.growth import Growth
from a2sg_zoo.analysis.measures.theory import theorem_4_1, theorem_4_2
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.evidence import document as why_document
from a2sg_zoo.evidence import prose
from a2sg_zoo.evidence.document import write_document
from a2sg_zoo.evidence.figures import save_picture, verdict_figure
from a2sg_zoo.evidence.paper import TOPICS, evaluate
from a2sg_zoo.evidence.verdicts import Claim, Evidence
from a2sg_zoo.hub.files import mark
from a2sg_zoo.utils.palette import BLUE, LIGHT_GREY, VERMILION

METHODS = 'fixed TRI', 'fixed BOX', 'fixed ASY', 'ST-ASG', 'A2SG'
NUMBERS = dict(
    log_interval=1,
    rarely=2,
    rho=0.05,
    cases=300,
    width=64,
    betas='0.1 to 0.8',
    parameters='1,000',
    steps=100,
    sizes='8 x 8',
)
# what A2SG has more than the fixed triangle, on two data sets; runs of a method differ by 0.1 from seed to seed
SHIFTS = dict(
    cv_training=(-1, -1),
    tgc_training=(1, 0),
    fisher=(1, 1),
    fisher_common=(-1, 1),
    rise=(0, 0),
    accuracy=(1, 1),
    energy_nj=(-1, 0),
)
# what the summary must say of it: on either data set, and in all
SUMMARY = {
    'local gradients vary less': ('supported', 'supported', 'held'),
    'local gradients agree better over time': ('supported', 'open', 'held in part'),
    'minima are flatter: Fisher, own surrogate': ('contradicted', 'contradicted', 'did not hold'),
    'minima are flatter: Fisher, one surrogate for all': ('supported', 'contradicted', 'mixed'),
    'minima are flatter: rise of the loss': ('open', 'open', 'undecided'),
    'test accuracy is higher': ('supported', 'supported', 'held'),
    'inference takes less energy': ('supported', 'open', 'held in part'),
}


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
            training=dict(values={}, curves={}),
            fisher=dict(values={}, eigenvalues=eigenvalues),
            common=dict(values={}, eigenvalues=eigenvalues),
            variation=dict(values={}, layers=[layer], theory=[theory]),
            bridge=dict(values={}, layers=[bridge]),
        ),
        1000,
    )


def make_document(folder, seeds, monkeypatch):
    """(claims, text) of two data sets, with `seeds` runs of each method."""
    groups = {
        name: Group(name, [make_entry(folder, method, seed, data) for method in METHODS for seed in range(seeds)])
        for data, name in enumerate(('first', 'second'))
    }
    theorems = theorem_4_1(300), theorem_4_2(300)
    growth = Growth((0.1, 0.2), (4.0, 1.0), 0.5, 2.0, (2.0,))
    growths = [
        dict(shape='TRI', layers=2, exponent=2.0, growth=growth, why=''),
        dict(shape='BOX', layers=2, exponent=None, growth=None, why='the Hessian is 0'),
    ]
    claims = evaluate(groups, theorems, growths)
    monkeypatch.setattr(
        why_document, 'save_picture', lambda *args, **kwargs: None
    )  # takes ten times as long as the rest
    text = write_document(
        folder,
        groups,
        claims,
        theorems,
        growths,
        'python tools/why_it_works.py',
        [('data', 'none')],
        NUMBERS,
        {},
        ('one', {}),
        [],
    )
    assert (folder / 'why_it_works.md').read_text().startswith(text)
    return claims, text


def rows_after(text, head):
    """The cells of the table that begins with a head."""
    lines = text[text.index(f'| {head} |') :].split('\n\n')[0].splitlines()[2:]
    return [[cell.strip().replace(r'\|', '|') for cell in re.split(r'(?<!\\)\|', line)[1:-1]] for line in lines]


def test_the_summary_says_what_the_numbers_mean(tmp_path, monkeypatch):
    claims, text = make_document(tmp_path, 3, monkeypatch)
    found = {row[0]: tuple(row[1:]) for row in rows_after(text, 'With A2SG in place of the fixed triangle')}
    assert found == {link: (a, b, f'**{verdict}**') for link, (a, b, verdict) in SUMMARY.items()}
    # a claim on the growth of the Hessian is supported by one shape and open for the other; 4.2 fails for h = 1/2
    assert '- The Hessian grows at least as beta^-2 (exponent of 1.9 or more): **held in part**\n' in text
    assert '- Theorem 4.2 for h = 0.5 in trained layers, with a fitted Gaussian: **did not hold**\n' in text
    assert '- Theorem 4.2 for h = 0.5 in trained layers, with the measured potentials: **held**\n' in text


def test_the_table_of_verdicts_counts_the_claims(tmp_path, monkeypatch):
    claims, text = make_document(tmp_path, 3, monkeypatch)
    start = text.index('| [Lower variation')
    rows = [
        [cell.strip() for cell in line.split('|')[1:-1]]
        for line in text[start:].split('\n\n')[0].splitlines()
        if line.startswith('| [')
    ]
    verdicts = 'held', 'held in part', 'mixed', 'did not hold', 'undecided'
    assert [row[0].split(']')[0][1:] for row in rows] == list(TOPICS.values())
    for row, topic in zip(rows, TOPICS):
        own = [claim.verdict for claim in claims if claim.topic == topic]
        assert row[1:] == [str(len(own)), *(str(own.count(v) or '') for v in verdicts)]
    counts = [f'{n} {v}' for v in verdicts if (n := sum(claim.verdict == v for claim in claims))]
    assert f'Of {len(claims)} claims: {", ".join(counts)}.' in text


def test_every_claim_stands_in_its_section_with_its_verdict(tmp_path, monkeypatch):
    claims, text = make_document(tmp_path, 3, monkeypatch)
    for topic, title in TOPICS.items():
        section = text[text.index(f'\n## {title}\n') :]
        shown = {row[0]: row for row in rows_after(section, 'claim') if row[0]}
        for claim in claims:
            if claim.topic == topic:
                text_, where, measured, says, verdict = shown[claim.text]
                first = claim.evidence[0]
                assert (where, says, verdict) == (first.where, first.word, f'**{claim.verdict}**')


def test_only_its_own_document_is_replaced(tmp_path, monkeypatch):
    make_document(tmp_path, 1, monkeypatch)
    (tmp_path / 'why_it_works.md').write_text('my notes')
    for folder in (tmp_path / 'first', tmp_path / 'second'):
        if folder.exists():
            shutil.rmtree(folder)
    for data in ('0', '1'):
        shutil.rmtree(tmp_path / data)
    with pytest.raises(ConfigError, match='why_it_works.md'):
        make_document(tmp_path, 1, monkeypatch)
    assert (tmp_path / 'why_it_works.md').read_text() == 'my notes'


def test_pictures_are_small_and_say_who_made_them(tmp_path):
    claims = [Claim('topic', f'claim {i}', [Evidence('data', i % 3 - 1, '')]) for i in range(20)]
    save_picture(verdict_figure(claims), tmp_path / 'a.png')
    save_picture(verdict_figure(claims[:3]), tmp_path / 'a.png')  # its own is replaced
    picture = Image.open(tmp_path / 'a.png')
    assert picture.mode == 'P' and picture.info['Software'] == mark('why_it_works')
    shown = np.asarray(picture.convert('RGB')).reshape(-1, 3).astype(int)
    for colour in (BLUE, VERMILION, LIGHT_GREY):  # the palette keeps those of the marks
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.abs(shown - rgb).max(1).min() <= 8


def test_one_seed_decides_nothing(tmp_path, monkeypatch):
    claims, text = make_document(tmp_path, 1, monkeypatch)
    rows = rows_after(text, 'With A2SG in place of the fixed triangle')
    assert [row[1:] for row in rows] == [['open', 'open', '**undecided**']] * len(SUMMARY)
    assert '1 and 1 runs: there is no interval' in text
    compared = [
        claim
        for claim in claims
        if claim.topic in ('variation', 'consistency', 'flatness', 'shape', 'generalisation', 'energy', 'link')
    ]
    assert {claim.verdict for claim in compared} == {'undecided'}


@pytest.mark.parametrize('title', TOPICS.values())
def test_anchors_are_those_of_github(title):
    """Of letters, digits, spaces and hyphens alone, in small letters, a hyphen for a space."""
    assert why_document.anchor(title) == {
        'Theorems 4.1 and 4.2': 'theorems-41-and-42',
        'The CV-curvature bridge': 'the-cv-curvature-bridge',
        'The Hessian grows as 1 / beta^2': 'the-hessian-grows-as-1--beta2',
    }.get(title, title.lower().replace(' ', '-'))


@pytest.fixture(scope='module')
def committed():
    return (Path(__file__).resolve().parents[2] / 'docs' / 'why_it_works.md').read_text()


def test_the_committed_document_has_the_prose_of_today(committed):
    """Whoever changes `prose` writes the document again, or edits it in the same way."""
    fields = {name for text in [*prose.INTRODUCTIONS.values(), prose.LIMITS] for _, name, *_ in Formatter().parse(text)}
    assert fields - {None} == NUMBERS.keys()
    for text in [prose.SUMMARY, *prose.INTRODUCTIONS.values(), prose.LIMITS, prose.RULES, prose.EXACT, prose.REPEAT]:
        pattern = ''.join(
            re.escape(' '.join(literal.split(' '))) + ('' if name is None else '.+?')
            for literal, name, *_ in Formatter().parse(text.strip('\n'))
        )
        assert re.search(pattern, committed), text
    for title in TOPICS.values():
        assert f'\n## {title}\n' in committed


def test_the_committed_verdicts_follow_from_their_evidence(committed):
    claims = []
    for topic, title in TOPICS.items():
        section = committed[committed.index(f'\n## {title}\n') :]
        for text, where, measured, says, verdict in rows_after(section, 'claim'):
            if text:
                claims.append((Claim(topic, text, []), verdict))
            sign = dict(supported=1, open=0, contradicted=-1)[says]
            claims[-1][0].evidence.append(Evidence(where, sign, measured))
    assert len(claims) == 50
    for claim, verdict in claims:
        assert f'**{claim.verdict}**' == verdict
    assert why_document.finding([claim for claim, _ in claims]) in committed


def test_pictures_of_the_committed_document(committed):
    folder = Path(__file__).resolve().parents[2] / 'docs'
    named = set(re.findall(r'\]\((why_it_works/[^)]+)\)', committed))
    assert named == {str(path.relative_to(folder)) for path in (folder / 'why_it_works').iterdir()}
    assert sum((folder / name).stat().st_size for name in named) < 2e6
