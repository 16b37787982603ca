"""The first page of made-up groups says what the made-up numbers mean."""

import shutil

import pytest

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.evidence import document
from a2sg_zoo.evidence.paper import LINKS, TOPICS
from tests.evidence.made_up import make_pages, rows_after

# what the summary must say of `made_up.SHIFTS`: on either data set, and in all
SUMMARY = {
    'CV is lower': ('supported', 'supported', 'held'),
    'SGV is lower': ('open', 'open', 'undecided'),
    'TGC is higher': ('supported', 'open', 'held in part'),
    'the Fisher eigenvalue is lower': ('contradicted', 'contradicted', 'did not hold'),
    'the Fisher eigenvalue is lower with one surrogate for all': ('supported', 'contradicted', 'mixed'),
    'the loss rises less': ('open', 'open', 'undecided'),
    'test accuracy is higher': ('supported', 'supported', 'held'),
    'the gap of accuracy is smaller': ('supported', 'contradicted', 'mixed'),
    'the gap of loss is smaller': ('open', 'open', 'undecided'),
}


def test_the_summary_says_what_the_numbers_mean(pages):
    claims, text, _ = pages
    rows = rows_after(text, 'link')
    assert {row[1]: tuple(row[2:]) for row in rows} == {
        step: (a, b, f'**{verdict}**') for step, (a, b, verdict) in SUMMARY.items()
    }
    assert [row[0].split(']')[0] for row in rows if row[0]] == ['[Link 1', '[Link 2', '[Link 3']
    counts = [f'{n} {v}' for v in document.VERDICTS if (n := sum(claim.verdict == v for claim in claims))]
    assert f'{len(claims)} claims that were tested, with the theorems: {", ".join(counts)}.' in text


def section(text, link):
    return text[text.index(f'\n## {link.title}\n') :]


def test_each_link_has_its_methods_its_picture_and_what_came_out(pages):
    _, text, _ = pages
    one, two, three = (section(text, link) for link in LINKS)
    (a2sg,) = (row for row in rows_after(one, 'method') if row[0] == 'A2SG')
    # CV on the first data set: 10, 10.1, 10.2, and 1 less
    assert a2sg[1] == '9.100 ± 0.100' and a2sg[2] == 'undefined: not measured'
    assert 'On first, the measurements support that CV is lower and TGC is higher and leave open whether SGV' in one
    assert 'lowest mean in the column "CV" is A2SG on first and A2SG on second.' in one
    assert '50% lie at the upper and 25% at the lower end of the search space on first, and 50%' in one
    assert 'On second, the measurements contradict that the Fisher eigenvalue is lower and the Fisher' in two
    assert 'highest mean in the column "test, %" is A2SG on first' in three
    # what is correlated over runs: nothing has a test error here
    assert 'Of 4 rank correlations over all runs of a data set, 0 support this, 0 contradict it, and 4' in two
    assert 'Of 14 rank correlations' in three
    assert [text.count(f'](why_it_works/link_{i}.png)') for i in (1, 2, 3)] == [1, 1, 1]


def test_only_its_own_page_is_replaced(tmp_path, monkeypatch):
    make_pages(tmp_path, 1, monkeypatch)
    (tmp_path / 'why_it_works.md').write_text('my notes')
    for data in ('0', '1'):
        shutil.rmtree(tmp_path / data)
    with pytest.raises(ConfigError, match='why_it_works.md'):
        make_pages(tmp_path, 1, monkeypatch)
    assert (tmp_path / 'why_it_works.md').read_text() == 'my notes'


def test_one_seed_decides_nothing(tmp_path, monkeypatch):
    claims, text, details = make_pages(tmp_path, 1, monkeypatch)
    assert [row[2:] for row in rows_after(text, 'link')] == [['open', 'open', '**undecided**']] * len(SUMMARY)
    assert '1 and 1 runs' in details
    compared = [
        claim
        for claim in claims
        if claim.topic in ('variation', 'consistency', 'flatness', 'shape', 'generalisation', 'energy', 'link')
    ]
    assert {claim.verdict for claim in compared} == {'undecided'}


@pytest.mark.parametrize('title', TOPICS.values())
def test_anchors_are_those_of_github(title):
    """Of letters, digits, spaces and hyphens alone, in small letters, a hyphen for a space."""
    assert document.anchor(title) == {
        'Theorems 4.1 and 4.2': 'theorems-41-and-42',
        'The CV-curvature bridge': 'the-cv-curvature-bridge',
        'The Hessian grows as 1 / beta^2': 'the-hessian-grows-as-1--beta2',
    }.get(title, title.lower().replace(' ', '-'))
