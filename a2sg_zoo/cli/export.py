"""Export a trained network to ONNX or NIR, with its batch norms folded into the layers before them.

    a2sg-zoo export NAME --format onnx --out network.onnx --check cat.jpg dog.png
    a2sg-zoo export work_dirs/run/iter_160000.pth --format onnx --size 512 512 --out network.onnx
    a2sg-zoo export configs/resnet18_cifar10_a2sg.py weights.pth --format nir --out network.nir

The network is the name of pretrained weights, a file of `a2sg-zoo publish`, a checkpoint of `a2sg-zoo train`, or a
config with a checkpoint. --check runs pictures through the network and through the file (ONNX in onnxruntime, NIR in
SpikingJelly) and prints how far they agree. See docs/deployment.md.
"""

from collections.abc import Sequence
from pathlib import Path

from a2sg_zoo.cli.parsing import Parser, at_least, errors_for_people


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('export', __doc__)
    parser.add_argument(
        'model', help='name of pretrained weights, file of weights that describes its network, or config file'
    )
    parser.add_argument('checkpoint', nargs='?', help='weights for a config')
    parser.add_argument('--format', choices=('onnx', 'nir'), required=True, help='format of the file')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='file to write')
    parser.add_argument(
        '--size',
        type=at_least(1),
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the input in pixels (default for a classification: the size of its pictures)',
    )
    parser.add_argument('--check', nargs='+', default=[], metavar='PICTURE', help='compare file and network on these')
    parser.add_argument('--force', action='store_true', help='replace an existing file')
    args = parser.parse_args(argv)
    with errors_for_people():
        from a2sg_zoo.export import Deployed, to_nir, to_onnx
        from a2sg_zoo.export.check import compare, table
        from a2sg_zoo.export.source import load, require_free, save
        from a2sg_zoo.export.to_nir import to_bytes

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
