"""Downloads weights of the zoo into the cache, checks them, and prints where they are.

    python tools/download.py --list '*cifar10*'
    python tools/download.py NAME...

A broken download is gone on with when the same is run again. Environment variables: A2SG_ZOO_CACHE (folder of the
cache), A2SG_ZOO_MIRROR (base URL of a mirror), A2SG_ZOO_OFFLINE=1 (download nothing), A2SG_ZOO_INDEX (another index).
"""

import argparse
import sys

from a2sg_zoo.errors import A2SGError
from a2sg_zoo.hub.index import find, names
from a2sg_zoo.hub.pretrained import pretrained_file


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help='of the weights')
    parser.add_argument('--list', nargs='?', const='*', metavar='PATTERN', help='list the names that match, and exit')
    args = parser.parse_args(argv)
    if not args.names and args.list is None:
        parser.error('name the weights to download, or pass --list')
    try:
        if args.list is not None:
            found = names(args.list)
            for entry in map(find, found):
                print(f'{entry.name}  {entry["size"] / 1e6:.1f} MB  {entry["summary"]}')
            if not found:
                parser.exit(1, f'no name matches {args.list!r}; all are {", ".join(names()) or "none yet"}\n')
            return
        for entry in [find(name) for name in args.names]:  # a typo is found before anything is downloaded
            print(f'{entry.name}: {pretrained_file(entry.name)}')
    except A2SGError as error:  # the context manager of the other tools would import PyTorch
        parser.exit(2, f'error: {error}\n')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit('interrupted; the same command goes on from here')
