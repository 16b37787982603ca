"""Train every network of a suite on every data set, with every method and seed.

    a2sg-zoo benchmark configs/suites/small.py --workers 2
    a2sg-zoo report work_dirs/benchmarks/small

Finished runs are not repeated unless their config, their data or the version of results (`RESULTS_VERSION`) changed.
The same command tries runs again that failed, were killed or hung.
"""

import shlex
import sys
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from a2sg_zoo.cli.parsing import Parser, at_least, errors_for_people, written_command
from a2sg_zoo.engine.arguments import ConfigOptions, add_options_argument
from a2sg_zoo.errors import ConfigError

LAUNCHERS = ('local', 'ray', 'slurm')


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('benchmark', __doc__)
    parser.add_argument('suite', type=Path, help='suite file')
    parser.add_argument('--out', type=Path, help='folder of the results (default: work_dirs/benchmarks/NAME)')
    parser.add_argument('--workers', type=at_least(1), default=1, help='runs at a time (default: 1)')
    parser.add_argument(
        '--launcher', choices=LAUNCHERS, default='local', help='where the runs are executed (default: local)'
    )
    parser.add_argument(
        '--launcher-options',
        nargs='+',
        action=ConfigOptions,
        default={},
        metavar='KEY=VALUE',
        help='options of the launcher: `address` for Ray; those of submitit for Slurm, such as slurm_partition=gpu',
    )
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='PATTERN',
        help="run only those with a name NETWORK-DATASET-METHOD-sSEED that fits one of these, such as '*-tri-*'",
    )
    parser.add_argument('--dry-run', action='store_true', help='print the plan and exit')
    add_options_argument(parser, 'override values of the config of every run')
    args = parser.parse_args(argv)
    args.command = shlex.join(written_command('benchmark', argv))
    with errors_for_people('interrupted; run the same command again to continue'):
        from a2sg_zoo.benchmark.suites.plan import plan
        from a2sg_zoo.benchmark.suites.runner import survey
        from a2sg_zoo.benchmark.suites.suite import read_suite

        suite = read_suite(args.suite)
        folder = args.out or Path('work_dirs/benchmarks', suite.name)
        planned = plan(suite, args.cfg_options)
        runs = [run for run in planned if not args.only or any(fnmatch(run.name, pattern) for pattern in args.only)]
        if not runs:
            raise ConfigError(f'no run of {args.suite} fits --only {" ".join(args.only)}')
        state = survey(runs, folder)
        for name, reason in state.reasons.items():
            print(f'{name} runs again: {reason}')
        print(f'{suite.name}: {len(runs)} runs, {len(state.done)} finished, {len(state.to_do)} to do, in {folder}')
        if args.dry_run:
            print('\n'.join(run.name for run in state.to_do))
            return
        failed = _run(suite, runs, planned, folder, len(state.to_do), args)
    if failed:
        sys.exit(f'{failed} runs failed; the same command tries them again')


def _run(suite, runs, planned, folder, count, args):
    """Runs what is to do under a progress bar; returns how many runs failed."""
    from tqdm import tqdm

    from a2sg_zoo.benchmark.reports.tables import number
    from a2sg_zoo.benchmark.suites.runner import run_suite

    failed, start = 0, time.monotonic()
    with tqdm(total=count, unit='run', smoothing=0.1) as bar:

        def report(run, result):
            nonlocal failed
            failed += result['status'] == 'failed'
            text = f'failed: {result["reason"]}'
            if result['status'] != 'failed':
                score = number(result['metrics'].get(suite.metric), 2)
                text = f'{suite.metric} {score}, {result["cost"]["train_seconds"]:.0f} s'
            bar.write(f'{run.name}: {text}')
            bar.update()

        options = {'workers': args.workers, **args.launcher_options}
        run_suite(suite, runs, folder, args.command, args.launcher, report, planned, options)
    print(f'done in {(time.monotonic() - start) / 60:.1f} minutes: a2sg-zoo report {folder}')
    return failed


if __name__ == '__main__':
    main()
