"""The command lines: in a checkout `python tools/NAME.py`, where the package is installed `a2sg-zoo NAME`."""

import argparse
import runpy
import sys
from pathlib import Path


def main():
    names = sorted(path.stem for path in Path(__file__).parent.glob('*.py') if path.stem != '__init__')
    parser = argparse.ArgumentParser(prog='a2sg-zoo', usage='a2sg-zoo TOOL ...')
    parser.add_argument('tool', choices=names, metavar='TOOL', help=', '.join(names) + '; each has a --help of its own')
    name = parser.parse_args(sys.argv[1:2]).tool
    del sys.argv[1]
    runpy.run_module(f'{__name__}.{name}', run_name='__main__', alter_sys=True)
