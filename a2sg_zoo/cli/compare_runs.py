"""Compare trained runs: accuracy, variation of local gradients, flatness and energy.

    a2sg-zoo compare_runs work_dirs/benchmarks/NAME/work/* --out comparison --workers 2

The method and the seed of a run are read from its folder. Where runs of one method differ in more than the seed, such
as in T or the number of iterations, each kind is a method of its own, and its label says how it differs. All runs are
measured on the same samples. Runs of another network or with other data form a group of their own. Measurements are
kept in FOLDER/runs and not repeated, also after an interruption. FOLDER gets report.md, runs.csv (every number of every
run), summary.json and pictures.
"""

from collections.abc import Sequence

from a2sg_zoo.analysis.settings import COMPARED, COMPARISON
from a2sg_zoo.cli.parsing import Parser, add_settings, at_least, errors_for_people


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('compare_runs', __doc__)
    parser.add_argument('runs', nargs='+', metavar='RUN_DIR', help='folders of runs')
    parser.add_argument('--out', required=True, metavar='FOLDER', help='folder for the results')
    parser.add_argument(
        '--what',
        default=','.join(COMPARED),
        metavar='SECTIONS',
        help=f'a list of: {",".join(COMPARED)} (default: all of them)',
    )
    parser.add_argument(
        '--checkpoint', choices=['best', 'last'], default='last', help='checkpoint of a folder (default: last)'
    )
    parser.add_argument('--workers', type=at_least(1), default=1, help='processes (default: 1)')
    texts = dict(
        samples='training samples, without augmentation; test accuracy takes all test samples',
        batch_size='samples in a pass; the Hessian takes an eighth of them',
        seed='seed of the choice of samples and directions',
        rho='radius of the SAM sharpness',
        vectors='random vectors for the trace of the Hessian',
        steps='largest number of Lanczos steps',
        points='points of the landscape along a direction',
        span='the landscape reaches from -SPAN to SPAN',
        directions='random directions of the landscape',
    )
    least = dict.fromkeys(('samples', 'batch_size', 'vectors', 'steps', 'directions'), 1) | dict(points=2)
    add_settings(parser, COMPARISON, texts, least)
    parser.add_argument('--tensorboard', action='store_true', help='write the pictures into TensorBoard files, too')
    args = parser.parse_args(argv)
    with errors_for_people('interrupted; run the same command again to continue'):
        from tqdm import tqdm

        from a2sg_zoo.analysis.compare import compare
        from a2sg_zoo.analysis.compare.report import write_comparison
        from a2sg_zoo.analysis.runs import read_runs

        runs = read_runs(args.runs, args.checkpoint)
        settings = {name: getattr(args, name) for name in COMPARISON if name != 'memory'}
        with tqdm(total=len(runs), unit='run', smoothing=0.1) as bar:

            def report(run, error):
                bar.write(f'{run.name}: ' + (f'not measured: {error}' if error else f'{run.method}, seed {run.seed}'))
                bar.update()

            groups, failed = compare(runs, args.what.split(','), args.out, settings, args.workers, report)
        print(write_comparison(groups, failed, args.out, args.tensorboard))


if __name__ == '__main__':
    main()
