"""Errors that are meant to be read by a person."""

import re
from pathlib import Path


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
    """Training met NaN or infinity."""


def with_commands_of_here(text):
    """The text, with `python tools/NAME.py` where the working folder is a checkout's, and `a2sg-zoo NAME` elsewhere."""
    return text if Path('tools').is_dir() else re.sub(r'python tools/(\w+)\.py', r'a2sg-zoo \1', text)
