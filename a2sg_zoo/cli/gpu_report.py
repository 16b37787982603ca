"""Check a CUDA device, and train CIFAR-10 on it, in a fixed number of minutes.

    a2sg-zoo gpu_report checks --out gpu --minutes 4
    a2sg-zoo gpu_report training --out gpu --minutes 8 --data cifar10.tar.xz
    a2sg-zoo gpu_report training --out gpu --smoke

`checks` compares kernels, half precision and compilation with their references, and measures speed. `training` measures
the device, chooses the numbers of iterations by it, trains resnet9_gpu_counts_cifar10, and with its weights
resnet9_gpu_hybrid_cifar10 with each method. Both write JSON and a Markdown table to --out after every step, so an
interruption loses nothing; `training` continues when the same is run again. --smoke does everything with tiny sizes on
a CPU.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from a2sg_zoo.cli.parsing import Parser, at_least, errors_for_people, written_command
from a2sg_zoo.engine.arguments import add_options_argument

_MINUTES = dict(checks=4, training=8)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('gpu_report', __doc__)
    parser.add_argument('part', choices=[*_MINUTES], metavar='PART', help='checks or training')
    parser.add_argument('--out', type=Path, required=True, metavar='FOLDER', help='folder of the results')
    parser.add_argument('--minutes', type=at_least(1), help='time to use (default: 4 for checks, 8 for training)')
    parser.add_argument('--smoke', action='store_true', help='try everything with tiny sizes, on the CPU')
    parser.add_argument('--only', nargs='+', metavar='CHECK', help='checks: run these alone')
    parser.add_argument(
        '--methods', nargs='+', default=['a2sg', 'tri'], metavar='NAME', help='training: in turn (default: a2sg tri)'
    )
    parser.add_argument(
        '--data',
        type=Path,
        metavar='PATH',
        help='training: folder or archive with train/CLASS/*.jpg and test/CLASS/*.jpg (default: the environment '
        'variable CIFAR10_FOLDER, or data/cifar10)',
    )
    add_options_argument(parser, 'training: override values of the config')
    args = parser.parse_args(argv)
    if args.smoke and args.data:
        parser.error('--smoke trains on embedded digits; leave out --data')
    if args.only and args.part != 'checks':
        parser.error('--only is for checks')
    args.minutes = args.minutes or _MINUTES[args.part]
    with errors_for_people('interrupted; what is finished is in --out, and the same command continues a training'):
        import torch

        from a2sg_zoo.benchmark.gpu.journal import device_facts
        from a2sg_zoo.errors import ConfigError

        if not args.smoke and not torch.cuda.is_available():
            raise ConfigError('gpu_report needs a CUDA device, and torch finds none; add --smoke to try it on the CPU')
        device = torch.device('cpu' if args.smoke else 'cuda')
        command = shlex.join(written_command('gpu_report', argv))
        facts = dict(device_facts(device), command=command, smoke=args.smoke)
        (_checks if args.part == 'checks' else _training)(args, device, facts)


def _checks(args: Any, device: Any, facts: dict[str, Any]) -> None:
    import time

    from a2sg_zoo.benchmark.gpu import checks
    from a2sg_zoo.benchmark.gpu.journal import Journal
    from a2sg_zoo.errors import A2SGError, ConfigError

    unknown = sorted(set(args.only or ()) - set(checks.CHECKS))
    if unknown:
        raise ConfigError(f'--only: there is no check {", ".join(unknown)}; there are {", ".join(checks.CHECKS)}')
    end = time.monotonic() + 60 * args.minutes
    place = checks.Place(device, args.smoke, lambda: end - time.monotonic())
    journal = Journal(args.out, 'checks', 'Checks of a device', facts, checks.HEADS, checks.cells)
    failed = checks.run_checks(place, journal, args.only)
    print(f'{journal.json}  {journal.markdown}')
    if failed:
        raise A2SGError(f'{len(failed)} of {len(journal.rows)} checks failed: {", ".join(failed)}')


def _training(args: Any, device: Any, facts: dict[str, Any]) -> None:
    from a2sg_zoo.benchmark.gpu.training import report_training

    report_training(
        args.out, args.methods, args.minutes, args.written_options, args.data, device, facts, smoke=args.smoke
    )


if __name__ == '__main__':
    main()
