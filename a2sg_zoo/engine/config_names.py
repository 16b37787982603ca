"""The names of configs and methods, and the files that they stand for."""

import os
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

import a2sg_zoo
from a2sg_zoo.errors import ConfigError

# the folder of the package where it is installed, or else of its checkout
_PLACES = (Path(a2sg_zoo.__file__).parent, Path(a2sg_zoo.__file__).parents[1])
SHIPPED = next((place / 'configs' for place in _PLACES if (place / 'configs').is_dir()), _PLACES[0] / 'configs')


def find_config(name: str | Path) -> tuple[Path, tuple[str, ...]]:
    """The file and the methods that the name of a config stands for.

    A file of that path comes first. Otherwise `configs/NAME.py`, `configs/FAMILY/NAME.py` or `NAME` is the shipped
    config of that name, whatever folder it is in, and `NAME_METHOD` is that config with `--method METHOD`.

    Args:
        name: path or name.

    Returns:
        The file, and the names of methods.

    Raises:
        ConfigError: there is neither a file nor a shipped config; the message names the nearest ones.

    Example:
        >>> file, methods = find_config('configs/resnet18_cifar10_a2sg.py')
        >>> file.name, methods
        ('resnet18_cifar10.py', ('a2sg',))
    """
    path = Path(os.path.expanduser(name))
    if os.path.isfile(path):
        return path, ()
    if os.path.isdir(path):
        raise ConfigError(f'config file {path} is a folder')
    inside = _below_shipped(path)
    if inside is None:
        raise ConfigError(f'config file {path} does not exist')
    if os.path.isfile(SHIPPED / inside):
        return SHIPPED / inside, ()
    shipped = shipped_configs()
    found = _split_name(inside.name.removesuffix('.py'), shipped)
    if found is None:
        near = get_close_matches(inside.stem, shipped, n=3)
        hint = f'; did you mean {" or ".join(near)}?' if near else ''
        raise ConfigError(f'config file {path} does not exist, and no config of that name is shipped{hint}')
    return found


def _below_shipped(path):
    """The part of a path below the shipped folder `configs`; None where the path cannot mean a shipped config."""
    full = Path(os.path.abspath(path))
    if full.is_relative_to(SHIPPED):
        return full.relative_to(SHIPPED)
    if path.is_absolute():
        return None
    if path.parts[:1] == ('configs',) and len(path.parts) > 1:
        return path.relative_to('configs')
    return path if len(path.parts) == 1 else None


def shipped_configs() -> dict[str, Path]:
    """{name: file} of the configs that this package ships."""
    files = [*sorted(SHIPPED.glob('*.py')), *sorted(SHIPPED.glob('*/*.py'))]
    return {file.stem: file for file in files if file.parent.name not in ('_base_', 'suites')}


def _split_name(name, shipped):
    """(file, methods) of NAME or NAME_METHOD[_METHOD]; the longest NAME counts. None where there is none."""
    if name in shipped:
        return shipped[name], ()
    words = name.split('_')
    for i in range(len(words) - 1, 0, -1):
        stem, methods = '_'.join(words[:i]), _methods_in(words[i:])
        if stem in shipped and methods:
            return shipped[stem], methods
    return None


def _methods_in(words):
    """The names of methods that some words make up; () where they make up none."""
    for i in range(len(words), 0, -1):
        name, rest = '_'.join(words[:i]), words[i:]
        if name in shipped_methods():
            others = _methods_in(rest)
            if others or not rest:
                return name, *others
    return ()


def shipped_methods() -> list[str]:
    """The names that `--method` takes."""
    return sorted(file.stem for file in (SHIPPED / '_base_' / 'methods').glob('*.py'))


def find_method(name: str) -> Path:
    """The file of a method: a shipped one by its name, or any file by its path.

    Raises:
        ConfigError: there is none; the message names the nearest ones.
    """
    if name.endswith('.py') or os.sep in name:
        path = Path(os.path.expanduser(name))
        if not os.path.isfile(path):
            raise ConfigError(f'method {name}: this file does not exist')
        return path
    known = shipped_methods()
    if name not in known:
        near = get_close_matches(name.lower(), known, n=3)
        hint = f'did you mean {" or ".join(near)}?' if near else f'known: {", ".join(known)}'
        raise ConfigError(f'{name!r} is no method; {hint} (a method of your own is given as the path of its file)')
    return SHIPPED / '_base_' / 'methods' / f'{name}.py'


def find_base(name: str, path: Path) -> tuple[Path, tuple[str, ...]]:
    """The file and the methods that an entry of `_base_` stands for.

    Args:
        name: a path relative to the folder of `path`; `a2sg_zoo::NAME` for one below the shipped folder `configs`; or
            `PACKAGE::NAME` for a config of another package of the OpenMMLab family.
        path: the file that has the entry.

    Raises:
        ConfigError: there is none.
    """
    if not isinstance(name, str):
        raise ConfigError(f'{path}: _base_ must be a path or a list of paths, got {name!r}')
    package, mark, inside = name.partition('::')
    if not mark:
        folder = path.parent
    elif package == a2sg_zoo.__name__:
        folder, name = SHIPPED, inside
    else:
        try:
            spec = find_spec(package)
        except (ImportError, ValueError):
            spec = None
        if spec is None or not spec.origin:
            raise ConfigError(f'{path}: _base_: {name}: there is no package {package!r}')
        folder, name = Path(spec.origin).parent / '.mim' / 'configs', inside
    try:
        return find_config(os.path.abspath(folder / os.path.expanduser(name)))
    except ConfigError as error:
        raise ConfigError(f'{path}: _base_: {error}') from error
