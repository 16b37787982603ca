"""Classify pictures, segment them (the class of every pixel), find objects in them; or continue a text.

    a2sg-zoo predict NAME cat.jpg dog.png
    a2sg-zoo predict work_dirs/run/iter_160000.pth folder --out predictions
    a2sg-zoo predict work_dirs/run/iter_1000.pth --prompt 'The import statement' --length 200 --temperature 0.8 --seed 0

The network is the name of pretrained weights, a file of `a2sg-zoo publish`, or a checkpoint of `a2sg-zoo train`. A
picture is a path, a folder or an http(s) address. With --out, pictures of the results and results.json go to that
folder. Pictures that cannot be read are named at the end; the others are processed, and the exit status is 2. A
language model takes --prompt in place of pictures, and prints the prompt with the text that follows.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from a2sg_zoo.cli.parsing import Parser, at_least, errors_for_people
from a2sg_zoo.errors import printable
from a2sg_zoo.hub.files import check_output, write_output


def line(prediction: dict[str, Any], classes: Sequence[str], top: int = 3) -> str:
    """Return what is printed about a picture.

    Args:
        prediction: of an inferencer.
        classes: names of the classes.
        top: number of classes of a classification that are named.
    """
    if 'scores' in prediction:
        best = sorted(zip(prediction['scores'], classes), reverse=True)[:top]
        found = [f'{name} {score:.1%}' for score, name in best]
    elif 'objects' in prediction:
        counts = Counter(item['name'] for item in prediction['objects'])
        found = [f'{number} {name}' for name, number in counts.most_common()] or ['nothing']
    else:
        found = [f'{name} {share:.1%}' for name, share in prediction['shares'].items()]
    return printable(f'{prediction["input"]}: {", ".join(found)}')


def _continue_text(args: argparse.Namespace) -> None:
    with errors_for_people():
        from a2sg_zoo.apis.language import TextGenerator

        results = None if args.out is None else check_output(args.out / 'results.json', 'predict')
        generator = TextGenerator(args.model, args.device)
        pieces = []
        for piece in generator.stream(args.prompt, args.length, args.temperature, args.seed):
            # the prompt only after the network has taken it
            print(printable(piece if pieces else args.prompt + piece, keep='\n'), end='', flush=True)
            pieces.append(piece)
        print()
        if results is not None:
            write_output(dict(predictions=[dict(prompt=args.prompt, text=''.join(pieces))]), results, 'predict')


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('predict', __doc__)
    parser.add_argument('model', help='name of pretrained weights, or checkpoint file')
    parser.add_argument('inputs', nargs='*', metavar='PICTURE', help='path, folder or address')
    parser.add_argument(
        '--out', type=Path, metavar='FOLDER', help='folder for pictures of the results, and results.json'
    )
    parser.add_argument(
        '--batch-size', type=at_least(1), default=1, help='pictures that the network takes at once (default: 1)'
    )
    parser.add_argument('--device', help='such as cuda:0 (default: the first accelerator, or else the CPU)')
    text = parser.add_argument_group('language models')
    text.add_argument('--prompt', metavar='TEXT', help='beginning of a text, which the network continues')
    text.add_argument('--length', type=at_least(1), default=200, help='bytes of the new text (default: 200)')
    text.add_argument(
        '--temperature', type=float, default=0.8, help='0 takes the most probable byte (default: %(default)s)'
    )
    text.add_argument('--seed', type=at_least(0), help='of the draws (default: another text each time)')
    # pictures may stand behind options, although there may be none
    args = parser.parse_intermixed_args(argv)
    if (args.prompt is None) == (not args.inputs):
        parser.error('name one or more pictures, or --prompt for a language model')
    if args.prompt is not None:
        _continue_text(args)
        return
    with errors_for_people():
        from a2sg_zoo.apis.inference import inferencer

        results = None if args.out is None else check_output(args.out / 'results.json', 'predict')
        infer = inferencer(args.model, args.device)
        found = infer(args.inputs, args.batch_size, args.out, keep_going=True)
        if results is not None:  # before anything is printed, which a console may fail to show
            kept = [
                {key: x for key, x in prediction.items() if key not in ('mask', 'masks')}
                for prediction in found['predictions']
            ]
            write_output(dict(predictions=kept), results, 'predict')
        for prediction in found['predictions']:
            print(line(prediction, infer.description.classes))
    if found['errors']:
        print(*(f'error: {printable(error)}' for error in found['errors']), sep='\n', file=sys.stderr)
        sys.exit(2)


if __name__ == '__main__':
    main()
