"""Checks of arguments: each returns the value, or raises a `ConfigError` that names the owner and the key."""

import math
from typing import Any, NoReturn

from a2sg_zoo.errors import ConfigError


def is_number(value: object) -> bool:
    """Return whether a value is an integer or a float. True and False are no numbers here."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_integer(value: object) -> bool:
    """Return whether a value is an integer. True and False are no integers here."""
    return isinstance(value, int) and not isinstance(value, bool)


def integer(name: str, value: Any, owner: object, least: int = 1) -> int:
    """Return an integer that is not too small.

    >>> integer('T', 4, 'Spikformer')
    4

    Args:
        name: key or argument, for the message.
        value: what the user gave.
        owner: object or name of the class that takes the value, for the message.
        least: smallest allowed value.

    Raises:
        ConfigError: the value is no integer, or too small.
    """
    if not is_integer(value) or value < least:
        _refuse(owner, name, f'an integer >= {least}', value)
    return value


def positive(name: str, value: Any, owner: object) -> float:
    """Return a positive, finite number.

    >>> positive('beta', 0.5, 'TRI')
    0.5

    Args:
        name: key or argument, for the message.
        value: what the user gave.
        owner: object or name of the class that takes the value, for the message.

    Raises:
        ConfigError: the value is no number, not positive or not finite.
    """
    if not is_number(value) or not 0 < value < math.inf:
        _refuse(owner, name, 'a positive, finite number', value)
    return float(value)


def number(
    name: str, value: Any, owner: object, low: float = -math.inf, high: float = math.inf, *, below_high: bool = False
) -> float:
    """Return a finite number from an interval.

    >>> number('momentum', 0.9, 'LSG', 0, 1)
    0.9

    Args:
        name: key or argument, for the message.
        value: what the user gave.
        owner: object or name of the class that takes the value, for the message.
        low: smallest allowed value.
        high: largest allowed value.
        below_high: whether the value must be smaller than `high`.

    Raises:
        ConfigError: the value is no number, not finite, or outside [low, high].
    """
    if not is_number(value) or not math.isfinite(value) or not low <= value <= high or below_high and value == high:
        end = ')' if below_high else ']'
        bounds = '' if math.isinf(low) and math.isinf(high) else f' in [{low:g}, {high:g}{end}'
        _refuse(owner, name, f'a finite number{bounds}', value)
    return float(value)


def _refuse(owner: object, name: str, wanted: str, value: object) -> NoReturn:
    who = owner if isinstance(owner, str) else type(owner).__name__
    raise ConfigError(f'{who}: {name} must be {wanted}, got {value!r}')
