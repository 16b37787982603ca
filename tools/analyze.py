"""Looks at a trained network: flatness, variation of its local gradients, theory. Tables, JSON and pictures.

    python tools/analyze.py work_dirs/NAME --what fisher,variation --out analysis/NAME
    python tools/analyze.py CHECKPOINT --config configs/resnet19_cifar10_a2sg.py --what all --out analysis/NAME

A landscape that was interrupted goes on when the same command is given again.
"""

import argparse

from mmengine.config import DictAction

from a2sg_zoo.analysis.report import SECTIONS, analyse, locate
from a2sg_zoo.engine.launch import errors_for_people, prepare_config


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('path', metavar='RUN_OR_CHECKPOINT', help='folder of a run, or a checkpoint file')
    parser.add_argument('--config', help='config file (default: the one that the run left in its folder)')
    parser.add_argument('--checkpoint', choices=['best', 'last'], default='last', help='which one of a folder')
    parser.add_argument('--what', default='variation,fisher', help=f'"all", or of: {",".join(SECTIONS)}')
    parser.add_argument('--out', required=True, metavar='FOLDER', help='folder for the results')
    parser.add_argument('--split', choices=['train', 'test'], default='train', help='data to measure on')
    parser.add_argument('--samples', type=int, default=256, help='how many samples (default: 256)')
    parser.add_argument('--batch-size', type=int, default=64, help='of the passes (the Hessian takes an eighth of it)')
    parser.add_argument('--seed', type=int, default=0, help='of the choice of samples and of directions')
    parser.add_argument('--rho', type=float, default=0.05, help='radius of the SAM sharpness')
    parser.add_argument('--vectors', type=int, default=16, help='random vectors for the trace of the Hessian')
    parser.add_argument('--steps', type=int, default=40, help='at most so many Lanczos steps')
    parser.add_argument('--memory', type=float, default=4, metavar='GB', help='for gradients of single samples')
    parser.add_argument('--points', type=int, default=21, help='points of the landscape along a direction')
    parser.add_argument('--span', type=float, default=1.0, help='the landscape reaches from -span to span')
    parser.add_argument('--dimensions', type=int, choices=[1, 2], default=2, help='directions of the landscape')
    parser.add_argument('--processes', type=int, default=1, help='for the landscape')
    parser.add_argument('--tensorboard', action='store_true', help='write the pictures into TensorBoard files, too')
    parser.add_argument('--demo', action='store_true', help='the run was made with --demo')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override the config')
    args = parser.parse_args()
    with errors_for_people():
        checkpoint, config, run = locate(args.path, args.config, args.checkpoint)
        cfg = prepare_config(config, args.cfg_options, args.demo)
        settings = {key: getattr(args, key) for key in (
            'seed', 'rho', 'vectors', 'steps', 'points', 'span', 'dimensions', 'processes')}
        analyse(cfg, checkpoint, list(SECTIONS) if args.what == 'all' else args.what.split(','), args.out, run,
                args.split, args.samples, args.batch_size, {**settings, 'memory': args.memory * 1e9}, args.tensorboard)


if __name__ == '__main__':
    main()
