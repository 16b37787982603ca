"""Trains the network of a config file.

python tools/train.py configs/spikformer_ade20k_a2sg.py
python tools/train.py configs/spikformer_ade20k_a2sg.py --demo      embedded data, a few minutes on a CPU
"""

import argparse

from a2sg_zoo.engine.run import add_train_arguments, errors_for_people, prepare_config, train


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_train_arguments(parser)
    args = parser.parse_args()
    with errors_for_people():
        cfg = prepare_config(args.config, args.cfg_options, args.demo, args.work_dir, args.seed, args.launcher)
        train(cfg, args.resume, args.amp)


if __name__ == '__main__':
    main()
