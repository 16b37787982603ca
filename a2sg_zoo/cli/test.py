"""Evaluate a checkpoint on the test data of a config.

    a2sg-zoo test configs/spikformer_ade20k_a2sg.py CHECKPOINT --out result.json --show-dir pictures

A segmentation is scored by mIoU, mAcc and aAcc, overall and for each class; a classification by top-1 and top-5
accuracy after each time step; a detection by COCO's mAP of boxes, and of masks where the network gives them; a language
model by bits per character of the validation text.
"""

from collections.abc import Sequence

from a2sg_zoo.cli.parsing import Parser, errors_for_people
from a2sg_zoo.engine.arguments import add_config_arguments, add_launcher_arguments, add_options_argument


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('test', __doc__)
    add_config_arguments(parser)
    parser.add_argument(
        'checkpoint', help='checkpoint file, name of pretrained weights, or "best" or "last" of the work dir'
    )
    parser.add_argument('--out', metavar='JSON', help='write the metrics to this file')
    parser.add_argument(
        '--show-dir',
        metavar='FOLDER',
        help='write pictures to this folder: image, truth and prediction, or the worst mistakes of a classification',
    )
    parser.add_argument(
        '--scales',
        type=float,
        nargs='+',
        default=[1.0],
        metavar='FACTOR',
        help='segmentation: predict by the mean over the picture at several scales',
    )
    parser.add_argument(
        '--flip', action='store_true', help='classification, segmentation: and over the mirrored picture'
    )
    parser.add_argument('--work-dir', metavar='FOLDER', help='folder of the log (default: work_dirs/NAME)')
    parser.add_argument('--demo', action='store_true', help='evaluate on the embedded miniature data')
    add_options_argument(parser)
    add_launcher_arguments(parser)
    args = parser.parse_args(argv)
    with errors_for_people():
        from a2sg_zoo.engine.run import prepare_config, test

        cfg = prepare_config(
            args.config, args.cfg_options, args.demo, args.work_dir, launcher=args.launcher, methods=args.method
        )
        test(cfg, args.checkpoint, args.out, args.show_dir, args.scales, args.flip)


if __name__ == '__main__':
    main()
