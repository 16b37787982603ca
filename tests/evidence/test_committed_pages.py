"""The pages in docs/ are those that the package of today writes."""

import re
from pathlib import Path
from string import Formatter

import pytest

from a2sg_zoo.evidence import document, prose
from a2sg_zoo.evidence.paper import LINKS, TOPICS
from a2sg_zoo.evidence.verdicts import Claim, Evidence
from tests.evidence.made_up import NUMBERS, rows_after

DOCS = Path(__file__).resolve().parents[2] / 'docs'


@pytest.fixture(scope='module')
def page():
    return (DOCS / 'why_it_works.md').read_text()


@pytest.fixture(scope='module')
def details():
    return (DOCS / 'why_it_works_details.md').read_text()


def test_they_have_the_prose_of_today(page, details):
    """Whoever changes `prose` writes the pages again, or edits them in the same way."""
    of_page = [prose.SUMMARY, *prose.LINK_INTRODUCTIONS, prose.RULES, prose.LIMITS, prose.REPEAT]
    of_details = [prose.DETAILS, *prose.INTRODUCTIONS.values(), prose.EXACT]
    fields = {name for text in [*prose.INTRODUCTIONS.values(), prose.LIMITS] for _, name, *_ in Formatter().parse(text)}
    assert fields - {None} == NUMBERS.keys()
    for committed, texts in ((page, of_page), (details, of_details)):
        for text in texts:
            pattern = ''.join(
                re.escape(literal) + ('' if name is None else '.+?')
                for literal, name, *_ in Formatter().parse(text.strip('\n'))
            )
            assert re.search(pattern, committed), text
    assert all(f'\n## {title}\n' in details for title in TOPICS.values())
    assert all(f'\n## {link.title}\n' in page for link in LINKS)
    assert len(page.splitlines()) <= 135


def test_their_verdicts_follow_from_their_evidence(page, details):
    claims = []
    for topic, title in TOPICS.items():
        for text, where, measured, says, verdict in rows_after(details[details.index(f'\n## {title}\n') :], 'claim'):
            if text:
                claims.append((Claim(topic, text, []), verdict))
            sign = dict(supported=1, open=0, contradicted=-1)[says]
            claims[-1][0].evidence.append(Evidence(where, sign, measured))
    assert len(claims) == 51
    for claim, verdict in claims:
        assert f'**{claim.verdict}**' == verdict
    assert document.finding([claim for claim, _ in claims]) in page


def test_their_pictures_are_there_and_small(page, details):
    named = set(re.findall(r'\]\((why_it_works/[^)]+)\)', page + details))
    assert named == {str(path.relative_to(DOCS)) for path in (DOCS / 'why_it_works').iterdir()}
    assert sum((DOCS / name).stat().st_size for name in named) < 2e6
