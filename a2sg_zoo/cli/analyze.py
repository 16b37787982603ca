"""Measure a trained network: flatness, variation of local gradients, theory, energy.

    a2sg-zoo analyze work_dirs/NAME
    a2sg-zoo analyze resnet_small_digits_tri --what fisher,energy
    a2sg-zoo analyze CHECKPOINT --config configs/resnet19_cifar10_a2sg.py --what all --out analysis/NAME

Tables, JSON files and pictures go into the folder `analysis` of the run; TensorBoard shows the pictures, too. A section
that does not apply to the network says so, and the other sections follow. docs/analysis.md lists what each section
costs. Run the same command again to continue an interrupted landscape.
"""

from collections.abc import Sequence

from a2sg_zoo.analysis.settings import SECTIONS, SETTINGS
from a2sg_zoo.cli.parsing import Parser, add_settings, at_least, errors_for_people
from a2sg_zoo.engine.arguments import add_options_argument


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('analyze', __doc__)
    parser.add_argument(
        'path', metavar='RUN_OR_CHECKPOINT', help='folder of a run, checkpoint file, or name of pretrained weights'
    )
    parser.add_argument('--config', help='config file (default: the one in the folder of the run)')
    parser.add_argument(
        '--checkpoint', choices=['best', 'last'], default='last', help='checkpoint of a folder (default: last)'
    )
    parser.add_argument(
        '--what',
        default='variation,fisher',
        metavar='SECTIONS',
        help=f'"all", or a list of: {",".join(SECTIONS)} (default: variation,fisher)',
    )
    parser.add_argument(
        '--out',
        metavar='FOLDER',
        help='folder of the results (default: `analysis` in the folder of the run or checkpoint)',
    )
    parser.add_argument(
        '--split', choices=['train', 'test'], default='train', help='data to measure on (default: train)'
    )
    parser.add_argument('--samples', type=at_least(1), default=256, help='number of samples (default: 256)')
    parser.add_argument('--batch-size', type=at_least(1), default=64, help='samples in a pass (default: 64)')
    parser.add_argument(
        '--dimensions',
        type=int,
        choices=[1, 2],
        default=SETTINGS['dimensions'],
        help='directions of the landscape; 2 take POINTS^2 passes, and give contours and a surface (default: 2)',
    )
    parser.add_argument(
        '--memory',
        type=float,
        default=SETTINGS['memory'] / 1e9,
        metavar='GB',
        help='memory for gradients of single samples and for graphs of the Hessian, in addition to what the network '
        'and its passes take (default: 4)',
    )
    texts = dict(
        seed='seed of the choice of samples and directions',
        rho='radius of the SAM sharpness',
        vectors='random vectors for the trace of the Hessian',
        steps='largest number of Lanczos steps',
        points='points of the landscape along a direction',
        span='the landscape reaches from -SPAN to SPAN',
        processes='processes that compute the landscape',
    )
    add_settings(parser, SETTINGS, texts, dict(vectors=1, steps=1, points=2, processes=1))
    parser.add_argument('--demo', action='store_true', help='the run was trained with --demo')
    add_options_argument(parser)
    args = parser.parse_args(argv)
    with errors_for_people('interrupted; run the same command again to continue a landscape'):
        from a2sg_zoo.analysis.loading import find_run
        from a2sg_zoo.analysis.report import analyse
        from a2sg_zoo.engine.run import prepare_config

        checkpoint, config, run = find_run(args.path, args.config, args.checkpoint)
        cfg = prepare_config(config, args.cfg_options, args.demo)
        settings = {name: getattr(args, name) for name in SETTINGS} | dict(memory=args.memory * 1e9)
        what = list(SECTIONS) if args.what == 'all' else args.what.split(',')
        out = args.out or run / 'analysis'
        analyse(cfg, checkpoint, what, out, run, args.split, args.samples, args.batch_size, settings)


if __name__ == '__main__':
    main()
