"""Trains every network of a suite on every data set with every method and seed, and keeps the results.

    python tools/benchmark.py configs/suites/small.py --workers 2
    python tools/report.py work_dirs/benchmarks/small

Runs that are finished are not repeated, unless their config, this package's code or the data have changed. What failed,
was killed or hung is noted as such, and tried again by the same command.
"""

import argparse
import shlex
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

from mmengine.config import DictAction
from tqdm import tqdm

from a2sg_zoo.benchmark.suites.launchers import LAUNCHERS
from a2sg_zoo.benchmark.suites.plan import plan
from a2sg_zoo.benchmark.suites.runner import run_suite, survey
from a2sg_zoo.benchmark.suites.suite import read_suite
from a2sg_zoo.engine.run import errors_for_people
from a2sg_zoo.errors import ConfigError


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('suite', type=Path, help='suite file')
    parser.add_argument('--out', type=Path, help='folder of the results (default: work_dirs/benchmarks/NAME)')
    parser.add_argument('--workers', type=int, default=1, help='runs at a time (default: 1)')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='local', help='where they run (default: local)')
    parser.add_argument(
        '--launcher-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='for Ray: address; for Slurm: those of submitit, such as slurm_partition=gpu',
    )
    parser.add_argument(
        '--only', metavar='PATTERN', help="only runs whose NETWORK-DATASET-METHOD-sSEED fits, such as '*-tri-*'"
    )
    parser.add_argument('--dry-run', action='store_true', help='print the plan and exit')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override the config of every run'
    )
    args = parser.parse_args()
    with errors_for_people():
        if args.workers < 1:
            raise ConfigError(f'--workers must be at least 1, got {args.workers}')
        suite = read_suite(args.suite)
        folder = args.out or Path('work_dirs/benchmarks', suite.name)
        runs = [run for run in plan(suite, args.cfg_options) if not args.only or fnmatch(run.name, args.only)]
        if not runs:
            raise ConfigError(f'no run of {args.suite} fits --only {args.only}')
        state = survey(runs, folder)
        for name, reason in state.reasons.items():
            print(f'{name} runs again: {reason}')
        print(f'{suite.name}: {len(runs)} runs, {len(state.done)} finished, {len(state.to_do)} to do, in {folder}')
        if args.dry_run:
            print('\n'.join(run.name for run in state.to_do))
            return
        failed = _run(suite, runs, folder, len(state.to_do), args)
    if failed:
        sys.exit(f'{failed} runs failed; the same command tries them again')


def _run(suite, runs, folder, count, args):
    """Runs what is to do under a progress bar; returns how many runs failed."""
    failed, start = 0, time.monotonic()
    with tqdm(total=count, unit='run', smoothing=0.1) as bar:

        def report(run, result):
            nonlocal failed
            failed += result['status'] == 'failed'
            text = (
                f'failed: {result["reason"]}'
                if result['status'] == 'failed'
                else f'{suite.metric} {result["metrics"].get(suite.metric, float("nan")):.2f}, '
                f'{result["cost"]["train_seconds"]:.0f} s'
            )
            bar.write(f'{run.name}: {text}')
            bar.update()

        try:
            run_suite(
                suite,
                runs,
                folder,
                shlex.join(['python', *sys.argv]),
                args.launcher,
                report,
                workers=args.workers,
                **args.launcher_options,
            )
        except KeyboardInterrupt:
            sys.exit('\ninterrupted; the same command goes on from here')
    print(f'done in {(time.monotonic() - start) / 60:.1f} minutes: python tools/report.py {folder}')
    return failed


if __name__ == '__main__':
    main()
