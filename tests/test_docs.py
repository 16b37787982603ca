"""The documents: links lead somewhere, and the tests that a page names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md'), *(ROOT / 'configs').rglob('*.md')])


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    targets = re.findall(r'\]\(([^)#\s]+)', page.read_text())
    missing = [t for t in targets if not re.match(r'[a-z]+:', t) and not (page.parent / t).exists()]
    assert not missing


def test_tests_that_a_page_names_exist():
    named = re.findall(r'`(tests/[\w/]+\.py)::(\w+)`', (ROOT / 'docs' / 'promises.md').read_text())
    assert named
    missing = [f'{file}::{name}' for file, name in named if f'def {name}(' not in (ROOT / file).read_text()]
    assert not missing
