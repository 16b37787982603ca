"""Command lines with a mistake."""

import pytest

from a2sg_zoo.cli import main


def mistake(capsys, *arguments, quiet=False):
    """The error of a command line, which ends with status 2; a `quiet` one prints its one line alone."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    said = capsys.readouterr()
    assert end.value.code == 2 and 'Traceback' not in said.err
    error = said.err[said.err.index('error: ') :]
    assert len(error.splitlines()) == 1 or not quiet
    assert not quiet or (said.out, said.err) == ('', error)
    return error
