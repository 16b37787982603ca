"""Packages that only a part of this project needs: a small installation has none of them.

Where a module of this project cannot be imported because such a package is missing, the error names the package and the
command that installs it, see `explain_missing_packages`. Functions that import a package when they are called ask
`require` first.
"""

import re
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from a2sg_zoo.errors import MissingPackageError

_OWN = __name__.partition('.')[0]
_PROJECT = 'a2sg-zoo'
_OF_DEVELOPERS = ('test', 'dev', 'docs')  # extras
# packages with other names than the modules that they install
_PACKAGES = {
    'PIL': 'pillow',
    'cv2': 'opencv-python',
    'mmcv': 'onedl-mmcv',
    'mmengine': 'onedl-mmengine',
    'mmseg': 'onedl-mmsegmentation',
    'sklearn': 'scikit-learn',
    'yaml': 'pyyaml',
}


def require(purpose: str, *modules: str) -> None:
    """Check that modules of other packages are installed. Nothing is imported.

    >>> require('this example', 'json', 'math')

    Args:
        purpose: what needs them, as the subject of the message.
        *modules: names of top-level modules.

    Raises:
        MissingPackageError: some are not installed; the message has the command that installs them.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise _missing(purpose, missing)


def explain_missing_packages() -> None:
    """Have every later import of a module of this project say which package it misses, and how to install it."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _missing(purpose: str, modules: Sequence[str]) -> MissingPackageError:
    packages = [_PACKAGES.get(name, name) for name in modules]
    with_project = _requirement_with(packages)
    return MissingPackageError(
        f'{purpose} needs {", ".join(packages)}, not installed here: pip install {" ".join(packages)}'
        + (f" (or pip install '{with_project}', which brings it)" if with_project else ''),
        name=modules[0],
    )


def _requirement_with(packages: Sequence[str]) -> str | None:
    """This project with the extras that install packages, as pip takes it; None if it does not install them all."""
    from importlib.metadata import PackageNotFoundError, requires  # takes as long as all of this module

    brought: dict[str, str | None] = {}  # package: its extra, None for what every installation has
    try:
        lines = requires(_PROJECT) or []
    except PackageNotFoundError:  # a folder of sources
        return None
    for line in lines:
        package = re.match(r'[\w.-]+', line)
        extra = re.search(r'extra == [\'"]([\w-]+)', line)
        if package and not (extra and extra[1] in _OF_DEVELOPERS):
            brought.setdefault(_canonical(package[0]), extra[1] if extra else None)
    found = [_canonical(name) for name in packages]
    if any(name not in brought for name in found):
        return None
    extras = ','.join(sorted({brought[name] or '' for name in found} - {''}))
    return f'{_PROJECT}[{extras}]' if extras else _PROJECT


def _canonical(package: str) -> str:
    return re.sub(r'[-_.]+', '-', package).lower()


class _Finder(MetaPathFinder):
    """Finds the modules of this project as Python does, and runs them with `_Explained`."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith(f'{_OWN}.'):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, Loader):
            spec.loader = _Explained(spec.loader)
        return spec


class _Explained(Loader):
    """A loader of one module, with an error for people where a package is missing."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__['loader'], name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        try:
            self.loader.exec_module(module)
        except MissingPackageError:
            raise
        except ModuleNotFoundError as error:
            missing = (error.name or '').partition('.')[0]
            if missing in ('', _OWN) or missing in sys.modules:
                raise
            raise _missing(module.__name__, [missing]) from error
