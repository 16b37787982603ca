"""Measure the time and memory of neurons, search and networks, as ratios to other libraries.

    a2sg-zoo benchmark_speed --out docs/benchmarks/speed_cpu
    a2sg-zoo benchmark_speed neuron time --no-peers

The parts are neuron, attached, resnet, spikformer, memory, time and long (sequences of up to 784 time steps); the
default is all of them. Each part compares medians of interleaved runs within one process. The other libraries are
SpikingJelly and snnTorch (pip install 'a2sg-zoo[peers]').
Run nothing else on the machine during a measurement.
"""

import platform
import shlex
from collections.abc import Sequence
from pathlib import Path

from a2sg_zoo.cli.parsing import Parser, at_least, errors_for_people, written_command

PARTS = ('neuron', 'attached', 'resnet', 'spikformer', 'memory', 'time', 'long')


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('benchmark_speed', __doc__)
    parser.add_argument('parts', nargs='*', metavar='PART', help=f'{", ".join(PARTS)} (default: all)')
    parser.add_argument('--out', type=Path, metavar='PATH', help='write the files PATH.json and PATH.md')
    parser.add_argument('--device', help='such as cuda or cpu (default: cuda where there is one)')
    parser.add_argument('--threads', type=at_least(1), help='CPU threads (default: one for each core)')
    parser.add_argument('--batch', type=at_least(1), default=32, help='images in a training step (default: 32)')
    parser.add_argument('--rounds', type=at_least(1), default=5, help='repetitions of each measurement (default: 5)')
    parser.add_argument('--amp', choices=('bfloat16', 'float16'), help='autocast to this type')
    parser.add_argument('--profile', action='store_true', help='also measure where the time of a training step goes')
    parser.add_argument('--no-peers', action='store_true', help='do not compare with other libraries')
    args = parser.parse_args(argv)
    unknown = set(args.parts) - {*PARTS}
    if unknown:
        parser.error(f'there is no part {", ".join(sorted(unknown))}; there are {", ".join(PARTS)}')
    with errors_for_people():
        import torch

        import a2sg_zoo
        from a2sg_zoo.benchmark.speed import measurements, peers, report
        from a2sg_zoo.benchmark.speed.networks import Setting
        from a2sg_zoo.benchmark.suites.job import machine
        from a2sg_zoo.engine.memory import keep_freed_memory
        from a2sg_zoo.hub.files import check_output, write_output

        for suffix in ('.md', '.json') if args.out is not None else ():
            check_output(args.out.with_suffix(suffix), 'benchmark_speed')
        device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
        threads = args.threads or torch.get_num_threads()
        versions = {} if args.no_peers else {name: peers.require(name)[1] for name in ('spikingjelly', 'snntorch')}
        torch.set_num_threads(threads)
        keep_freed_memory()
        setting = Setting(
            torch.device(device),
            args.amp and getattr(torch, args.amp),
            args.batch,
            args.rounds,
            threads,
            not args.no_peers,
        )
        rows = []
        for part in args.parts or PARTS:
            rows += measurements.PARTS[part](setting)
        facts = dict(
            machine=f'{machine()}, {_processor()}',
            threads=threads,
            batch=args.batch,
            rounds=args.rounds,
            amp=args.amp,
            command=shlex.join(written_command('benchmark_speed', argv)),
            a2sg_zoo=a2sg_zoo.__version__,
            python=platform.python_version(),
            torch=torch.__version__,
            **versions,
        )
        profiles = measurements.where_time_goes(setting) if args.profile else None
        text = report.markdown(rows, facts, profiles)
        print(text)
        if args.out is not None:
            write_output(text, args.out.with_suffix('.md'), 'benchmark_speed')
            write_output(report.as_data(rows, facts, profiles), args.out.with_suffix('.json'), 'benchmark_speed')


def _processor():
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        return next(line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == '__main__':
    main()
