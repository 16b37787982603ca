"""Measures what neurons, search and networks cost, as ratios, and writes them as JSON and Markdown.

    python tools/benchmark_speed.py --out docs/benchmarks/speed_cpu
    python tools/benchmark_speed.py neuron time --no-peers

The parts are neuron, resnet, spikformer, memory and time; all of them by default. Each compares medians of interleaved
runs within one process; the peers are SpikingJelly and snnTorch (pip install 'a2sg-zoo[peers]'). Leave the machine
alone meanwhile.
"""

import argparse
import json
import math
import platform
import shlex
import sys
from pathlib import Path

import torch

import a2sg_zoo
from a2sg_zoo.benchmark.speed import peers
from a2sg_zoo.benchmark.speed.measurements import PARTS, Setting, document, where_time_goes
from a2sg_zoo.benchmark.suites.job import machine
from a2sg_zoo.engine.memory import keep_freed_memory
from a2sg_zoo.engine.run import errors_for_people
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.files import write_atomically


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('parts', nargs='*', metavar='PART', help=', '.join(PARTS))
    parser.add_argument('--out', type=Path, metavar='PATH', help='writes PATH.json and PATH.md')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads(), help='of the CPU (default: all cores)')
    parser.add_argument('--batch', type=int, default=32, help='images a training step (default: 32)')
    parser.add_argument('--rounds', type=int, default=5, help='times each is measured (default: 5)')
    parser.add_argument('--amp', choices=('bfloat16', 'float16'), help='autocast to this type')
    parser.add_argument('--profile', action='store_true', help='also say where the time of a training step goes')
    parser.add_argument('--no-peers', action='store_true', help='compare with no other framework')
    args = parser.parse_args(argv)
    with errors_for_people():
        unknown = set(args.parts) - set(PARTS)
        if unknown:
            raise ConfigError(f'there is no part {", ".join(sorted(unknown))}; there are {", ".join(PARTS)}')
        for name in ('threads', 'batch', 'rounds'):
            if getattr(args, name) < 1:
                raise ConfigError(f'--{name} must be at least 1, got {getattr(args, name)}')
        versions = {} if args.no_peers else {name: peers.require(name)[1] for name in ('spikingjelly', 'snntorch')}
        torch.set_num_threads(args.threads)
        keep_freed_memory()
        setting = Setting(
            torch.device(args.device),
            args.amp and getattr(torch, args.amp),
            args.batch,
            args.rounds,
            args.threads,
            not args.no_peers,
        )
        rows = []
        for part in args.parts or PARTS:
            rows += PARTS[part](setting)
        facts = dict(
            machine=f'{machine()}, {_processor()}',
            threads=args.threads,
            batch=args.batch,
            rounds=args.rounds,
            amp=args.amp,
            command=shlex.join(['python', 'tools/benchmark_speed.py', *(argv or sys.argv[1:])]),
            a2sg_zoo=a2sg_zoo.__version__,
            python=platform.python_version(),
            torch=torch.__version__,
            **versions,
        )
        profiles = where_time_goes(setting) if args.profile else None
        text = document(rows, facts, profiles)
        print(text)
        if args.out is not None:
            write_atomically(text.encode(), args.out.with_suffix('.md'))
            rows = [row._asdict() | dict(ratio=row.ratio if math.isfinite(row.ratio) else None) for row in rows]
            data = dict(facts=facts, rows=rows, profiles=profiles)
            write_atomically(json.dumps(data, indent=1).encode(), args.out.with_suffix('.json'))


def _processor():
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        return next(line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == '__main__':
    main()
