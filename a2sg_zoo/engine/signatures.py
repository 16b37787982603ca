"""Which keys a class of a config takes, found from its constructors."""

import ast
import inspect
import re
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any

import torch


@cache
def keys_of(target):
    """(keys that a class or function takes, those of them that it cannot do without).

    The first is None where that cannot be told. **kwargs are followed through the constructors of a class' bases; one
    that does more with them than to hand them to the next constructor, and to look up literal keys, may take anything.
    One that does nothing with them takes nothing by them: a key that would be ignored in silence is a mistake too.
    """
    accepted, required = set(), set()
    filled, handed = 0, set()
    for function in _constructors(target):
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # written in C
            return None, frozenset(required)
        if inspect.isclass(target):
            parameters = parameters[1:]
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        accepted.update(p.name for p in named)
        required.update(p.name for p in named[filled:] if p.default is p.empty and p.name not in handed)
        kwargs = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
        if kwargs is None:
            return frozenset(accepted), frozenset(required)
        args = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        use = _use(function, kwargs, args)
        if use is None:
            return None, frozenset(required)
        looked_up, filled, handed = use
        accepted |= looked_up
        if filled is None:
            return frozenset(accepted), frozenset(required)
        handed |= looked_up
    return frozenset(accepted), frozenset(required)


def parameters_of(*functions: Any) -> set[str]:
    """The names of the arguments that functions or classes take, without *args and **kwargs.

    Example:
        >>> sorted(parameters_of(torch.nn.utils.clip_grad_value_))
        ['clip_value', 'foreach', 'parameters']
    """
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return {p.name for each in functions for p in inspect.signature(each).parameters.values() if p.kind in kinds}


@cache
def keys_read(target: Any, name: str) -> set[str]:
    """The keys that a function, or a class with its bases, reads from a dictionary, by its source.

    Args:
        target: function or class.
        name: of the dictionary in the source: for `options.get('size')` and `options.size`, this is 'options'.
    """
    pattern = re.compile(re.escape(name) + r"""(?:\.get\(\s*['"](\w+)|\[['"](\w+)|\.(\w+)\b(?!\())""")
    keys = set()
    for each in target.__mro__ if inspect.isclass(target) else [target]:
        with suppress(OSError, TypeError):  # without a source, as what is written in C
            keys |= {key for found in pattern.findall(inspect.getsource(each)) for key in found if key}
    return keys


def import_name(name: str) -> Any:
    """The object of a full name such as 'torch.optim.AdamW'; None where there is none.

    Example:
        >>> import_name('pathlib.Path')
        <class 'pathlib.Path'>
    """
    module, _, attribute = name.rpartition('.')
    try:
        return getattr(import_module(module), attribute, None)
    except (ImportError, ValueError):
        return None


def find_class(name: str, registries: Sequence[Any]) -> Any:
    """What a config names as a type; None where there is nothing of this name.

    Args:
        name: a full name such as 'torch.optim.AdamW', or one of a registry.
        registries: are asked in turn.
    """
    found = import_name(name) if '.' in name else None
    if found is not None:
        return found
    return next((found for r in registries if (found := r.get(name)) is not None), None)


def parameter_of(target: Any, key: str) -> inspect.Parameter | None:
    """An argument of a class or function, found through its constructors; None where there is none."""
    for function in _constructors(target) if callable(target) else ():
        with suppress(TypeError, ValueError):  # written in C
            parameter = inspect.signature(function).parameters.get(key)
            if parameter is not None:
                return parameter
    return None


def default_of(target: Any, key: str) -> Any:
    """The default of an argument of a class or function; None where it has none."""
    parameter = parameter_of(target, key)
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def _constructors(target):
    """The functions that see the keys, in the order in which super() reaches them."""
    if not inspect.isclass(target):
        return [target]
    # PyTorch's module takes **kwargs to refuse them
    ends = object, torch.nn.Module
    return [vars(cls)['__init__'] for cls in target.__mro__ if '__init__' in vars(cls) and cls not in ends]


def _use(function, kwargs, args):
    """What a constructor does with its **kwargs: (keys that it looks up, how many arguments it hands to the next
    constructor by position, and which by name); the count is None where **kwargs do not go there, and all is None where
    they may go elsewhere."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    looked_up, handed, filled = set(), set(), None
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Name) and node.id == kwargs):
            continue
        parent = parents[node]
        call = parents[parent]
        if isinstance(parent, ast.keyword) and _is_next_constructor(call, function):
            handed |= {keyword.arg for keyword in call.keywords if keyword.arg}
            # a config gives no arguments by position, so *args is empty
            others = [a for a in call.args if not (isinstance(a, ast.Starred) and getattr(a.value, 'id', None) == args)]
            if any(isinstance(a, ast.Starred) for a in others):
                return None
            filled = len(others)
        elif (key := _looked_up(node, parent, call)) is not None:
            looked_up.add(key)
        else:
            return None
    return looked_up, filled, handed


def _is_next_constructor(call, function):
    """Whether a call is super().__init__(...), or super(ITS OWN CLASS, self).__init__(...)."""
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == '__init__'):
        return False
    bound = call.func.value
    owner = function.__qualname__.split('.')[-2:][0]
    return (
        isinstance(bound, ast.Call)
        and getattr(bound.func, 'id', None) == 'super'
        and (not bound.args or getattr(bound.args[0], 'id', None) == owner)
    )


def _looked_up(node, parent, call):
    """The key in kwargs['key'], kwargs.pop('key', ...) and the like, or 'key' in kwargs."""
    if isinstance(parent, ast.Subscript):
        key = parent.slice
    elif (
        isinstance(parent, ast.Attribute)
        and parent.attr in ('get', 'pop', 'setdefault')
        and isinstance(call, ast.Call)
        and call.args
    ):
        key = call.args[0]
    elif isinstance(parent, ast.Compare) and parent.comparators == [node]:
        key = parent.left
    else:
        return None
    return key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else None
