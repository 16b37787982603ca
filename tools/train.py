"""Trains the network of a config file.

    python tools/train.py configs/spikformer_ade20k_a2sg.py
    python tools/train.py configs/spikformer_ade20k_a2sg.py --demo      embedded data, a few minutes on a CPU
"""

import argparse

from mmengine.config import DictAction

from a2sg_zoo.engine.launch import errors_for_people, prepare_config, train


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder of the run (default: work_dirs/NAME)')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CHECKPOINT',
                        help='go on from a checkpoint, or from the newest one in the work dir')
    parser.add_argument('--amp', action='store_true', help='mixed precision: float16 on CUDA, bfloat16 on a CPU')
    parser.add_argument('--demo', action='store_true', help='embedded miniature data and a short schedule')
    parser.add_argument('--seed', type=int, help='of all random generators (default: the config\'s)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override the config')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    with errors_for_people():
        cfg = prepare_config(args.config, args.cfg_options, args.demo, args.work_dir, args.seed, args.launcher)
        train(cfg, args.resume, args.amp)


if __name__ == '__main__':
    main()
