"""Train the network of a config.

    a2sg-zoo train configs/spikformer_ade20k_a2sg.py
    a2sg-zoo train configs/spikformer_ade20k_a2sg.py --demo
    a2sg-zoo train resnet19_cifar10 --method a2sg --method sam

With --demo the data is embedded, and the run takes a few minutes on a CPU.
"""

from collections.abc import Sequence

from a2sg_zoo.cli.parsing import Parser, errors_for_people
from a2sg_zoo.engine.arguments import add_train_arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('train', __doc__)
    add_train_arguments(parser)
    args = parser.parse_args(argv)
    with errors_for_people('interrupted; add --resume to the command to continue from the last checkpoint'):
        from a2sg_zoo.engine.run import prepare_config, train

        cfg = prepare_config(
            args.config, args.cfg_options, args.demo, args.work_dir, args.seed, args.launcher, args.method
        )
        train(cfg, args.resume, args.amp, keep_old=args.work_dir is None)


if __name__ == '__main__':
    main()
