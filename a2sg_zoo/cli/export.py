"""Exports a trained network, its batch norms folded, to ONNX or NIR.

    python tools/export.py NAME --format onnx --out network.onnx --check cat.jpg dog.png
    python tools/export.py work_dirs/run/iter_160000.pth --format onnx --size 512 512 --out network.onnx
    python tools/export.py configs/resnet18_cifar10_a2sg.py weights.pth --format nir --out network.nir

The network is a name in the zoo, a file of tools/publish.py, or a checkpoint of tools/train.py; or a config and a
checkpoint. --check runs pictures through the network and through the file (ONNX in onnxruntime, NIR in SpikingJelly),
and prints how far they agree. See docs/deployment.md.
"""

import argparse
from pathlib import Path

from a2sg_zoo.engine.run import errors_for_people
from a2sg_zoo.export import Deployed, to_nir, to_onnx
from a2sg_zoo.export.check import compare, table
from a2sg_zoo.export.source import load, require_free, save
from a2sg_zoo.export.to_nir import to_bytes


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='name in the zoo, weights that say which network they are for, or config file')
    parser.add_argument('checkpoint', nargs='?', help='weights for the config')
    parser.add_argument('--format', choices=('onnx', 'nir'), required=True)
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='to write')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='of the input (default: of a classification, what its pictures are resized to)',
    )
    parser.add_argument('--check', nargs='+', default=[], metavar='PICTURE', help='to compare with the network on')
    parser.add_argument('--force', action='store_true', help='replace a file that is there')
    args = parser.parse_args(argv)
    with errors_for_people():
        require_free(args.out, args.force)
        network, description, name = load(args.model, args.checkpoint)
        deployed = Deployed(network, description, args.size)
        contents = to_onnx(deployed, name) if args.format == 'onnx' else to_bytes(to_nir(deployed, name))
        save(contents, args.out, args.force)
        shape = ' x '.join(map(str, deployed.input_shape))
        print(f'{args.out}: {len(contents) / 1e6:.1f} MB, input {shape}, T = {deployed.T}')
        if args.check:
            print(table(compare(args.out.read_bytes(), args.format, network, deployed, args.check)))


if __name__ == '__main__':
    main()
