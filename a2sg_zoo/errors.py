"""Errors that are meant to be read by a person."""

import unicodedata

# characters that change the order of the text around them
_BIDIRECTIONAL = frozenset('\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069')


class A2SGError(Exception):
    """Base of the errors that a2sg_zoo raises on purpose.

    The message says what was wrong, where (file, key, step or layer) and what to do about it;
    the command lines print it without a traceback.
    """


class ConfigError(A2SGError, ValueError):
    """A config names something unknown, or gives a component a key or value that it cannot take."""


class DataError(A2SGError):
    """A data set is missing, incomplete or damaged."""


class CheckpointError(A2SGError):
    """A checkpoint cannot be read, is not safe to read, or belongs to another network."""


class NonFiniteError(A2SGError, ArithmeticError):
    """Training, or the answer of a network, met NaN or infinity."""


class MachineError(A2SGError):
    """The machine refused what a run needs: memory, space on a disk, a process."""


class MissingPackageError(A2SGError, ModuleNotFoundError):
    """A package that only a part of this project needs is not installed."""


def printable(text: object, keep: str = '') -> str:
    """Text from a file or its name, made safe for a terminal.

    Control characters, such as the escape sequences of terminals, line ends, bytes of a name that are not UTF-8, and
    marks that reverse the direction of writing become escapes of Python.

    >>> printable('cat\\x1b[2J')
    'cat\\\\x1b[2J'

    Args:
        text: anything; `str` of it is taken.
        keep: control characters that stay, such as '\\n'.
    """
    return ''.join(
        c
        if c in keep or unicodedata.category(c) not in ('Cc', 'Cs', 'Zl', 'Zp') and c not in _BIDIRECTIONAL
        # one character at a time, so that no two of them make another escape
        else c.encode('unicode_escape').decode()
        for c in str(text)
    )
