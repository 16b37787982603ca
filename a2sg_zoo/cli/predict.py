"""Says what is in pictures: classes, or the class of every pixel.

    python tools/predict.py NAME cat.jpg dog.png
    python tools/predict.py work_dirs/run/iter_160000.pth folder --out predictions

The network is a name in the zoo, a file of tools/publish.py, or a checkpoint of tools/train.py. A picture is a path, a
folder or an http(s): address. With --out, pictures of the results go to that folder, and the figures to results.json.
Pictures that cannot be read are named at the end; the others are done, and the status is 2.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from a2sg_zoo.apis.inference import inferencer
from a2sg_zoo.engine.run import errors_for_people
from a2sg_zoo.errors import printable
from a2sg_zoo.hub.files import check_output, write_output


def line(prediction: dict[str, Any], classes: Sequence[str], top: int = 3) -> str:
    """What is printed about a picture."""
    if 'scores' in prediction:
        best = sorted(zip(prediction['scores'], classes), reverse=True)[:top]
        found = [f'{name} {score:.1%}' for score, name in best]
    else:
        found = [f'{name} {share:.1%}' for name, share in prediction['shares'].items()]
    return printable(f'{prediction["input"]}: {", ".join(found)}')


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='name in the zoo, or checkpoint file')
    parser.add_argument('inputs', nargs='+', metavar='PICTURE', help='path, folder or address')
    parser.add_argument('--out', type=Path, metavar='FOLDER', help='for pictures of the results, and results.json')
    parser.add_argument('--batch-size', type=int, default=1, help='pictures that go through the network at once')
    parser.add_argument('--device', help='such as cuda:0 (default: the first accelerator, or else the CPU)')
    args = parser.parse_args(argv)
    with errors_for_people():
        results = None if args.out is None else check_output(args.out / 'results.json', 'predict')
        infer = inferencer(args.model, args.device)
        found = infer(args.inputs, args.batch_size, args.out, keep_going=True)
        if results is not None:  # before anything is printed, which a console may fail to show
            kept = [{key: x for key, x in prediction.items() if key != 'mask'} for prediction in found['predictions']]
            write_output(dict(predictions=kept), results, 'predict')
        for prediction in found['predictions']:
            print(line(prediction, infer.description.classes))
    if found['errors']:
        print(*(f'error: {printable(error)}' for error in found['errors']), sep='\n', file=sys.stderr)
        sys.exit(2)


if __name__ == '__main__':
    main()
