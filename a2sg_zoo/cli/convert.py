"""Convert an official checkpoint of a backbone into pretrained weights of this project.

    a2sg-zoo convert Spikformer official.pth.tar spikformer.safetensors --cfg-options num_heads=12

The file is read without running code from it. The tensors tell the sizes; --cfg-options gives the backbone's other
arguments. The command prints what became of every tensor. Use the result as
`init_cfg=dict(type='Pretrained', checkpoint=...)` of the backbone.
"""

from collections.abc import Sequence

from a2sg_zoo.cli.parsing import Parser, errors_for_people
from a2sg_zoo.engine.arguments import add_options_argument


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('convert', __doc__)
    parser.add_argument('family', help="class of the backbone, such as 'Spikformer'")
    parser.add_argument('source', help='official checkpoint')
    parser.add_argument('target', help='.safetensors file to write')
    add_options_argument(parser, 'arguments of the backbone that its weights do not tell')
    args = parser.parse_args(argv)
    with errors_for_people():
        from a2sg_zoo.publishing.convert import convert, save

        conversion = convert(args.family, args.source, args.cfg_options)
        save(conversion, args.source, args.target)
        print(conversion.report())


if __name__ == '__main__':
    main()
