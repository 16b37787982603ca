"""What pyproject.toml cannot say: packages that lie in two places, and the readme of a release."""

import re
import tomllib
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
ELSEWHERE = {'a2sg_zoo.configs': 'configs'}

# ![text](target) and [text](target), where the target is a path in this repository
_IMAGE = re.compile(r'!\[([^]]*)\]\((?!\w+:|#)([^)]+)\)')
_LINK = re.compile(r'(?<!!)\[([^]]*)\]\((?!\w+:|#)([^)]+)\)')


def readme(repository: str | None, version: str) -> str:
    """Return README.md as a page that renders outside the repository, for example on PyPI.

    Relative links lead to the repository at the tag of this version. Where no repository is named, pictures are left
    out and links become plain text, so that no release has a dead link.

    Args:
        repository: address of the repository, from `project.urls` in pyproject.toml.
        version: version of the release.
    """
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    if not repository:
        return _LINK.sub(r'\1', _IMAGE.sub('', text))
    place = repository.rstrip('/')
    text = _IMAGE.sub(rf'![\1]({place}/raw/v{version}/\2)', text)
    return _LINK.sub(rf'[\1]({place}/blob/v{version}/\2)', text)


def _metadata():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
    version = re.search(r"^__version__ = '(.+)'$", (ROOT / 'a2sg_zoo/__init__.py').read_text(encoding='utf-8'), re.M)
    return project.get('urls', {}).get('Repository'), version[1]


setup(
    packages=[*find_packages(include=['a2sg_zoo*']), *ELSEWHERE],
    package_dir=ELSEWHERE,
    long_description=readme(*_metadata()),
    long_description_content_type='text/markdown',
)
