"""Converts a published checkpoint of a family of backbones.

    python tools/convert.py Spikformer official.pth.tar spikformer.safetensors --cfg-options num_heads=12

The file is read without running code from it. Sizes are read off the tensors; --cfg-options gives the backbone's other
arguments. What became of every tensor is printed. The result suits
`init_cfg=dict(type='Pretrained', checkpoint=...)` of the backbone.
"""

import argparse

from mmengine.config import DictAction

from a2sg_zoo.engine.run import errors_for_people
from a2sg_zoo.publishing.convert import convert, save


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('family', help="class of the backbone, such as 'Spikformer'")
    parser.add_argument('source', help='published checkpoint')
    parser.add_argument('target', help='.safetensors file to write')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='arguments of the backbone that its weights do not tell',
    )
    args = parser.parse_args()
    with errors_for_people():
        conversion = convert(args.family, args.source, args.cfg_options)
        save(conversion, args.source, args.target)
        print(conversion.report())


if __name__ == '__main__':
    main()
