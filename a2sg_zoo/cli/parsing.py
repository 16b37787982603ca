"""What the commands share: parsers that answer in one line, and errors without a traceback. Imports nothing heavy."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from a2sg_zoo.errors import A2SGError, printable


class Parser(argparse.ArgumentParser):
    """The parser of one command.

    Args:
        command: name of the command, as in `a2sg-zoo NAME`.
        description: what `--help` prints, usually the docstring of the command's module.
    """

    def __init__(self, command: str, description: str | None) -> None:
        super().__init__(
            prog=f'a2sg-zoo {command}', description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def error(self, message: str) -> NoReturn:
        """Print one line on what is wrong with the arguments, and exit with status 2."""
        one_line = ' '.join(printable(message, keep='\n').split())
        self.exit(2, f'error: {one_line} (see {self.prog} --help)\n')


def at_least(least: int) -> Callable[[str], int]:
    """Return a `type` for `add_argument` that takes integers from `least` upwards.

    >>> at_least(1)('3')
    3
    """

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f'must be at least {least}, got {text}')
        return value

    number.__name__ = 'integer'  # argparse names the type where the text is no number
    return number


def add_settings(
    parser: argparse.ArgumentParser,
    settings: dict[str, Any],
    texts: dict[str, str],
    least: dict[str, int] | None = None,
) -> None:
    """Add one option for each setting that has a text, with the setting's type and default value.

    Args:
        parser: gets the options.
        settings: {name: default value}.
        texts: {name: help text}; the default value is added to it.
        least: {name: smallest value} of integers; 0 where none is given.
    """
    for name, text in texts.items():
        default = settings[name]
        kind = at_least((least or {}).get(name, 0)) if isinstance(default, int) else type(default)
        parser.add_argument(
            f'--{name.replace("_", "-")}', type=kind, default=default, help=f'{text} (default: %(default)s)'
        )


def written_command(command: str, argv: Sequence[str] | None) -> list[str]:
    """Return the words of a command line, to be kept beside its results.

    Args:
        command: name of the command.
        argv: its arguments, None for those of the process.
    """
    return ['a2sg-zoo', command, *(sys.argv[1:] if argv is None else argv)]


@contextmanager
def errors_for_people(interrupted: str = 'interrupted') -> Iterator[None]:
    """Context of a command: expected errors end it with one line in place of a traceback.

    An `A2SGError` ends with status 2 (the traceback is shown where the environment has A2SG_DEBUG=1), Ctrl+C with
    status 130. Where the reader of the output goes away, as in `a2sg-zoo download --list | head -1`, the command ends
    with status 1 and says nothing.

    Args:
        interrupted: what is printed after Ctrl+C.
    """
    try:
        if hasattr(sys.stdout, 'reconfigure'):  # a console that is not UTF-8 shows names as escapes
            sys.stdout.reconfigure(errors='backslashreplace')
        yield
        sys.stdout.flush()
    except A2SGError as error:
        if os.environ.get('A2SG_DEBUG'):
            raise
        # a DataLoader's worker wraps the message in its own traceback
        message = str(error).rsplit(f'{type(error).__name__}: ', 1)[-1].strip()
        print(f'\nerror: {printable(message, keep=chr(10))}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f'\n{interrupted}', file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # Python flushes the output once more at its end, which must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
