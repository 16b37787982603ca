"""Train and measure small networks, and write docs/why_it_works.md and its details: which claims of the paper hold.

    a2sg-zoo why_it_works --data CIFAR10_FOLDER --workers 2

CIFAR10_FOLDER holds train/CLASS/*.jpg and test/CLASS/*.jpg. Without --data, the environment variable CIFAR10_FOLDER
names it. The second data set, scikit-learn's digits, needs no download. Fixed TRI, BOX and ASY, ST-ASG and A2SG are
trained to convergence on few images with every seed (configs/suites/why_it_works.py). The table of operations needs
NeuroBench and is left out without it. Run the same command again to continue an interrupted one; finished work is kept.
"""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from a2sg_zoo.analysis.settings import COMPARISON
from a2sg_zoo.cli.parsing import Parser, at_least, errors_for_people


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('why_it_works', __doc__)
    parser.add_argument('--data', metavar='FOLDER', help='CIFAR-10 as image files')
    parser.add_argument('--seeds', type=at_least(1), default=3, help='seeds for each method (default: 3)')
    parser.add_argument('--out', default='docs', metavar='FOLDER', help='folder of the pages (default: docs)')
    parser.add_argument('--workers', type=at_least(1), default=2, help='runs at a time (default: 2)')
    parser.add_argument(
        '--samples',
        type=at_least(1),
        default=COMPARISON['samples'],
        help='training samples to measure on (default: %(default)s)',
    )
    parser.add_argument('--suite', default='configs/suites/why_it_works.py', help='suite file (default: %(default)s)')
    parser.add_argument(
        '--work',
        type=Path,
        metavar='FOLDER',
        default=Path('work_dirs/why_it_works'),
        help='folder of runs and measurements (default: %(default)s)',
    )
    args = parser.parse_args(argv)
    words = ['a2sg-zoo', 'why_it_works', '--data', 'CIFAR10_FOLDER']
    for name in ('seeds', 'samples', 'suite'):  # what the pages depend on
        if getattr(args, name) != parser.get_default(name):
            words += [f'--{name}', str(getattr(args, name))]
    args.command = shlex.join(words)
    with errors_for_people('interrupted; run the same command again to continue'):
        if args.data:
            os.environ['CIFAR10_FOLDER'] = args.data
        from a2sg_zoo.evidence.experiment import write

        write(args)


if __name__ == '__main__':
    main()
