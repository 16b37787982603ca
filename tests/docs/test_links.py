"""The documents: links and anchors lead somewhere, and the tests that a page names exist."""

import json
import re
from functools import cache
from pathlib import Path

import pytest

from a2sg_zoo import registry

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *ROOT.glob('*.md'),
        *(page for folder in ('docs', 'configs', 'model_cards') for page in (ROOT / folder).rglob('*.md')),
        *(ROOT / 'examples').glob('*.ipynb'),
    ]
)
# [text](target), and targets of <img src="">; titles are not used in this repository
_LINK = re.compile(r'\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)')


@cache
def text_of(page: Path) -> str:
    """The Markdown of a page or of a notebook, without its code."""
    text = page.read_text()
    if page.suffix == '.ipynb':
        text = '\n\n'.join(''.join(c['source']) for c in json.loads(text)['cells'] if c['cell_type'] == 'markdown')
    return re.sub(r'^( *)(```+|~~~+|:::+\{code).*?^\1\2`*$', '', text, flags=re.M | re.S)


@cache
def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, by the rule of code hosts."""
    anchors: set[str] = set()
    for heading in re.findall(r'^#+ +(.+)$', text_of(page), flags=re.M):
        plain = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', heading).replace('`', '').strip().lower()
        slug = base = re.sub(r'[^\w\- ]', '', plain).replace(' ', '-')
        count = 0
        while slug in anchors:
            count += 1
            slug = f'{base}-{count}'
        anchors.add(slug)
    return anchors


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    found = []
    for target in _LINK.findall(re.sub(r'`[^`\n]*`', '', text_of(page))):
        if re.match(r'[a-z]+:', target):
            continue
        path, _, anchor = target.partition('#')
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and file.suffix in ('.md', '.ipynb') and anchor not in anchors_of(file)):
            found.append(target)
    return found


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    assert not broken(page)


def test_a_broken_link_and_a_broken_anchor_are_found(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(
        '# A `heading`: two\n\n[a](#a-heading-two) [b](other.md) [c](page.md#no) [d](page.md) [e](https://x.y/z#w)\n'
        '```\n[f](code.md)\n# no heading\n```\n`[g](code.md)`\n'
    )
    assert broken(page) == ['other.md', 'page.md#no']


def test_registries_that_a_page_names_exist():
    table = (ROOT / 'CONTRIBUTING.md').read_text().partition('## Add a part')[2]
    named = set(re.findall(r'\| `([A-Z]+)` \|', table))
    assert named and all(isinstance(vars(registry).get(name), registry.Registry) for name in named)


def test_tests_that_a_page_names_exist():
    named = re.findall(r'`(tests/[\w/]+\.py)::(\w+)`', (ROOT / 'docs' / 'promises.md').read_text())
    assert named
    missing = [f'{file}::{name}' for file, name in named if f'def {name}(' not in (ROOT / file).read_text()]
    assert not missing
