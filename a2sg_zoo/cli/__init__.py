"""The command lines: in a checkout `python tools/NAME.py`, where the package is installed `a2sg-zoo NAME`."""

import argparse
import importlib
import sys
from pathlib import Path

from a2sg_zoo.errors import with_commands_of_here


def main():
    names = sorted(path.stem for path in Path(__file__).parent.glob('*.py') if path.stem != '__init__')
    parser = argparse.ArgumentParser(prog='a2sg-zoo', usage='a2sg-zoo TOOL ...')
    parser.add_argument('tool', choices=names, metavar='TOOL', help=', '.join(names) + '; each has a --help of its own')
    name = parser.parse_args(sys.argv[1:2]).tool
    module = importlib.import_module(f'{__name__}.{name}')
    # what --help prints
    module.__doc__ = with_commands_of_here(module.__doc__)
    sys.argv[:2] = [f'a2sg-zoo {name}']
    module.main()
