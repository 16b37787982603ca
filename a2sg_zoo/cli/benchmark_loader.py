"""Measure how fast the training data of a config is read and augmented, without a network.

    a2sg-zoo benchmark_loader configs/spikformer_4_384_cifar10_a2sg.py

Compare the result with the images per second of a training run: data that is slower holds the run up.
"""

import time
from collections.abc import Sequence
from itertools import islice

from a2sg_zoo.cli.parsing import Parser, at_least, errors_for_people
from a2sg_zoo.engine.arguments import add_options_argument


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('benchmark_loader', __doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--batches',
        type=at_least(1),
        default=100,
        help='batches to time, after 10 that start the workers (default: 100)',
    )
    parser.add_argument('--demo', action='store_true', help='read the embedded miniature data')
    add_options_argument(parser)
    args = parser.parse_args(argv)
    with errors_for_people():
        from mmengine.registry import init_default_scope
        from mmengine.runner import Runner

        from a2sg_zoo.engine.run import prepare_config

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
