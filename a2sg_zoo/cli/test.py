"""Evaluates a checkpoint: mIoU, mAcc, aAcc, per class and overall; or top-1 and top-5 after each time step.

python tools/test.py configs/spikformer_ade20k_a2sg.py CHECKPOINT --out result.json --show-dir pictures
"""

import argparse

from mmengine.config import DictAction

from a2sg_zoo.engine.run import errors_for_people, prepare_config, test


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        'checkpoint', help='a checkpoint file; a name in the zoo; "best" or "last": that of the work dir'
    )
    parser.add_argument('--out', metavar='JSON', help='file for the metrics')
    parser.add_argument('--show-dir', metavar='FOLDER', help='folder for pictures: image, truth, prediction')
    parser.add_argument('--work-dir', help='folder of the log (default: work_dirs/NAME)')
    parser.add_argument('--demo', action='store_true', help='evaluate on the embedded miniature data')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override the config')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    with errors_for_people():
        cfg = prepare_config(args.config, args.cfg_options, args.demo, args.work_dir, launcher=args.launcher)
        test(cfg, args.checkpoint, args.out, args.show_dir)


if __name__ == '__main__':
    main()
