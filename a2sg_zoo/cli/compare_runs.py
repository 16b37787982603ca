"""Compares trained runs: accuracy, variation of local gradients, flatness and energy, by method, over seeds.

    python tools/compare_runs.py work_dirs/benchmarks/NAME/work/* --out comparison --workers 2

Methods and seeds are read from what the runs left in their folders. All are measured on the same samples; runs of
another network or other data make a group of their own. What is measured is kept in FOLDER/runs and not measured again,
also after an interruption. FOLDER gets report.md, runs.csv (every number of every run), summary.json, and pictures.
"""

import argparse

from tqdm import tqdm

from a2sg_zoo.analysis.compare import compare
from a2sg_zoo.analysis.compare.measurements import SECTIONS, SETTINGS
from a2sg_zoo.analysis.compare.report import write_comparison
from a2sg_zoo.analysis.runs import read_runs
from a2sg_zoo.engine.run import errors_for_people
from a2sg_zoo.errors import ConfigError


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', metavar='RUN_DIR', help='folders of runs')
    parser.add_argument('--out', required=True, metavar='FOLDER', help='folder for the results')
    parser.add_argument('--what', default=','.join(SECTIONS), help=f'of: {",".join(SECTIONS)} (default: all)')
    parser.add_argument('--checkpoint', choices=['best', 'last'], default='last', help='which one of a folder')
    parser.add_argument('--workers', type=int, default=1, help='processes (default: 1)')
    for name, text in dict(
        samples='training samples, without augmentation (test accuracy takes all test samples)',
        batch_size='of the passes (the Hessian takes an eighth of it)',
        seed='of the choice of samples and of directions',
        rho='radius of the SAM sharpness',
        vectors='random vectors for the trace of the Hessian',
        steps='at most so many Lanczos steps',
        points='points of the landscape along a direction',
        span='the landscape reaches from -span to span',
        directions='random directions of the landscape',
    ).items():
        parser.add_argument(
            f'--{name.replace("_", "-")}',
            type=type(SETTINGS[name]),
            default=SETTINGS[name],
            help=f'{text} (default: {SETTINGS[name]})',
        )
    parser.add_argument('--tensorboard', action='store_true', help='write the pictures into TensorBoard files, too')
    args = parser.parse_args()
    with errors_for_people():
        for name in ('workers', 'samples', 'batch_size', 'vectors', 'steps', 'directions'):
            if getattr(args, name) < 1:
                raise ConfigError(f'--{name.replace("_", "-")} must be at least 1, got {getattr(args, name)}')
        if args.points < 2:
            raise ConfigError(f'--points must be at least 2, got {args.points}')
        runs = read_runs(args.runs, args.checkpoint)
        settings = {name: getattr(args, name) for name in SETTINGS if name != 'memory'}
        with tqdm(total=len(runs), unit='run', smoothing=0.1) as bar:

            def report(run, error):
                bar.write(f'{run.name}: ' + (f'not measured: {error}' if error else f'{run.method}, seed {run.seed}'))
                bar.update()

            groups, failed = compare(runs, args.what.split(','), args.out, settings, args.workers, report)
        print(write_comparison(groups, failed, args.out, args.tensorboard))


if __name__ == '__main__':
    main()
