"""Train one network in four libraries, and the libraries' own examples, and compare.

    a2sg-zoo benchmark_libraries --out docs/benchmarks/libraries
    a2sg-zoo benchmark_libraries agreement cost

The same small convolutional network has the neurons of this package, of SpikingJelly, snnTorch and norse (pip install
'a2sg-zoo[peers]'), the same weights and the same seeds. The parts are agreement (spikes, widths, gradients), training
(accuracy), cost (time and memory of a step), examples (accuracy of networks that the libraries publish) and
examples_cost (time of a step); the default is all.
"""

import platform
import shlex
from collections.abc import Sequence
from pathlib import Path

from a2sg_zoo.cli.parsing import Parser, at_least, errors_for_people, written_command

PARTS = ('agreement', 'training', 'cost', 'examples', 'examples_cost')


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('benchmark_libraries', __doc__)
    parser.add_argument('parts', nargs='*', metavar='PART', help=f'{", ".join(PARTS)} (default: all)')
    parser.add_argument('--out', type=Path, metavar='PATH', help='write the files PATH.json and PATH.md')
    parser.add_argument('--seeds', type=at_least(1), default=3, help='seeds of each training (default: 3)')
    parser.add_argument('--epochs', type=at_least(1), default=5, help='passes over the digits (default: 5)')
    parser.add_argument('--rounds', type=at_least(1), default=15, help='repetitions of each timing (default: 15)')
    parser.add_argument('--threads', type=at_least(1), help='CPU threads (default: one for each core)')
    args = parser.parse_args(argv)
    unknown = set(args.parts) - {*PARTS}
    if unknown:
        parser.error(f'there is no part {", ".join(sorted(unknown))}; there are {", ".join(PARTS)}')
    with errors_for_people():
        import torch

        import a2sg_zoo
        from a2sg_zoo.benchmark.libraries import measurements, report
        from a2sg_zoo.benchmark.speed import peers
        from a2sg_zoo.benchmark.suites.job import machine
        from a2sg_zoo.hub.files import check_output, write_output

        for suffix in ('.md', '.json') if args.out is not None else ():
            check_output(args.out.with_suffix(suffix), 'benchmark_libraries')
        versions = {name: peers.require(name)[1] for name in ('spikingjelly', 'snntorch', 'norse')}
        threads = args.threads or torch.get_num_threads()
        torch.set_num_threads(threads)
        setting = measurements.Setting(args.seeds, args.epochs, args.rounds, threads)
        facts = dict(
            machine=machine(),
            threads=threads,
            command=shlex.join(written_command('benchmark_libraries', argv)),
            a2sg_zoo=a2sg_zoo.__version__,
            python=platform.python_version(),
            torch=torch.__version__,
            **versions,
        )
        sections = []
        for part in args.parts or PARTS:
            found = measurements.PARTS[part](setting)
            sections += found
            print('\n\n'.join(report.section(one) for one in found), flush=True)
            if args.out is not None:  # what is measured is kept if a later part is interrupted
                text, data = report.markdown(sections, facts), report.as_data(sections, facts)
                write_output(text, args.out.with_suffix('.md'), 'benchmark_libraries')
                write_output(data, args.out.with_suffix('.json'), 'benchmark_libraries')


if __name__ == '__main__':
    main()
