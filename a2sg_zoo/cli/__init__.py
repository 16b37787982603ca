"""The command line `a2sg-zoo COMMAND ...`. In a checkout, `python tools/COMMAND.py ...` does the same.

Each command is a module here with a function `main(argv=None)`. Modules import what is heavy after they have parsed
their arguments, so that `--help` and mistakes in arguments answer at once.
"""

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

from a2sg_zoo.cli.parsing import Parser, errors_for_people

COMMANDS = {
    'Training and evaluation': ('train', 'test', 'search', 'benchmark', 'report'),
    'Pretrained networks': ('download', 'predict', 'demo_app', 'export', 'convert', 'publish'),
    'Data': ('download_dataset', 'benchmark_loader'),
    'Analysis': (
        'analyze',
        'compare_runs',
        'benchmark_speed',
        'benchmark_libraries',
        'gpu_report',
        'why_it_works',
        'verify',
    ),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that the first argument names.

    Args:
        argv: the words after `a2sg-zoo`; None for those of the process.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    names = [name for group in COMMANDS.values() for name in group]
    if argv and argv[0] in names:
        import_module(f'{__name__}.{argv[0]}').main(argv[1:])
        return
    parser = Parser('', None)
    parser.prog = 'a2sg-zoo'
    if argv and not argv[0].startswith('-'):
        near = difflib.get_close_matches(argv[0], names, n=1)
        parser.error(f'there is no command {argv[0]}; ' + (f'did you mean {near[0]}?' if near else ', '.join(names)))
    with errors_for_people():
        if not argv or argv[0] in ('-h', '--help'):
            print(_help())
        elif argv[0] == '--version':
            from a2sg_zoo import __version__

            print(f'a2sg-zoo {__version__}')
        else:
            parser.error(f'unknown option {argv[0]}')


def summary(command: str) -> str:
    """Return one line on what a command does: the first line of its docstring."""
    return (import_module(f'{__name__}.{command}').__doc__ or '').partition('\n')[0]


def _help() -> str:
    width = max(len(name) for group in COMMANDS.values() for name in group)
    lines = ['usage: a2sg-zoo COMMAND ...', '', 'Spiking networks trained with adaptive surrogate gradients.']
    for title, names in COMMANDS.items():
        lines += ['', f'{title}:', *(f'  {name:{width}}  {summary(name)}' for name in names)]
    return '\n'.join(
        [*lines, '', 'a2sg-zoo COMMAND --help says more about one; a2sg-zoo --version prints the version.']
    )
