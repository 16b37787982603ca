"""Looks at a trained network: flatness, variation of its local gradients, theory, energy.

    python tools/analyze.py work_dirs/NAME
    python tools/analyze.py resnet_small_digits_tri --what fisher,energy
    python tools/analyze.py CHECKPOINT --config configs/resnet19_cifar10_a2sg.py --what all --out analysis/NAME

Tables, JSON and pictures go into the folder `analysis` of the run, the pictures also into TensorBoard. A section that
does not apply to the network says so, and the others follow. What sections cost: docs/analysis.md. A landscape that was
interrupted goes on when the same command is given again.
"""

import argparse

from mmengine.config import DictAction

from a2sg_zoo.analysis.report import SECTIONS, SETTINGS, analyse, find_run
from a2sg_zoo.engine.run import errors_for_people, prepare_config


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'path', metavar='RUN_OR_CHECKPOINT', help='folder of a run, a checkpoint file, or a name in the zoo'
    )
    parser.add_argument('--config', help='config file (default: the one that the run left in its folder)')
    parser.add_argument('--checkpoint', choices=['best', 'last'], default='last', help='which one of a folder')
    parser.add_argument('--what', default='variation,fisher', help=f'"all", or of: {",".join(SECTIONS)}')
    parser.add_argument(
        '--out', metavar='FOLDER', help='folder for the results (default: analysis, in that of the run or checkpoint)'
    )
    parser.add_argument('--split', choices=['train', 'test'], default='train', help='data to measure on')
    parser.add_argument('--samples', type=int, default=256, help='how many samples (default: 256)')
    parser.add_argument('--batch-size', type=int, default=64, help='of the passes (default: 64)')
    parser.add_argument(
        '--dimensions',
        type=int,
        choices=[1, 2],
        default=SETTINGS['dimensions'],
        help='directions of '
        'the landscape; 2 take POINTS^2 passes over the samples, and give contours and a surface '
        '(default: 2)',
    )
    parser.add_argument(
        '--memory',
        type=float,
        default=SETTINGS['memory'] / 1e9,
        metavar='GB',
        help='for gradients of '
        'single samples and graphs of the Hessian, beside the network and its passes (default: 4)',
    )
    for name, text in dict(
        seed='of the choice of samples and of directions',
        rho='radius of the SAM sharpness',
        vectors='random vectors for the trace of the Hessian',
        steps='at most so many Lanczos steps',
        points='points of the landscape along a direction',
        span='the landscape reaches from -span to span',
        processes='for the landscape',
    ).items():
        parser.add_argument(
            f'--{name}', type=type(SETTINGS[name]), default=SETTINGS[name], help=f'{text} (default: {SETTINGS[name]})'
        )
    parser.add_argument('--demo', action='store_true', help='the run was made with --demo')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override the config')
    args = parser.parse_args()
    with errors_for_people():
        checkpoint, config, run = find_run(args.path, args.config, args.checkpoint)
        cfg = prepare_config(config, args.cfg_options, args.demo)
        settings = {name: getattr(args, name) for name in SETTINGS} | dict(memory=args.memory * 1e9)
        what = list(SECTIONS) if args.what == 'all' else args.what.split(',')
        out = args.out or run / 'analysis'
        analyse(cfg, checkpoint, what, out, run, args.split, args.samples, args.batch_size, settings)


if __name__ == '__main__':
    main()
