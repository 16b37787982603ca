"""Measures how fast the training data of a config is read and augmented, without a network.

python tools/benchmark_loader.py configs/spikformer_4_384_cifar10_a2sg.py
"""

import argparse
import time
from itertools import islice

from mmengine.config import DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from a2sg_zoo.engine.run import errors_for_people, prepare_config
from a2sg_zoo.errors import ConfigError


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--batches', type=int, default=100, help='batches to time, after 10 that start the workers')
    parser.add_argument('--demo', action='store_true', help='the embedded miniature data')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override the config')
    args = parser.parse_args()
    with errors_for_people():
        if args.batches < 1:
            raise ConfigError(f'--batches must be at least 1, got {args.batches}')
        cfg = prepare_config(args.config, args.cfg_options, args.demo)
        init_default_scope(cfg.default_scope)
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
        batches = iter(loader)
        for _ in islice(batches, 10):
            pass
        start = time.perf_counter()
        images = sum(len(batch['inputs']) for batch in islice(batches, args.batches))
        seconds = time.perf_counter() - start
    print(
        f'{images / seconds:.0f} images/s: {images} of {len(loader.dataset)} images in {seconds:.2f} s, batches of '
        f'{loader.batch_size}, {loader.num_workers} workers'
    )


if __name__ == '__main__':
    main()
