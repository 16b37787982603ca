"""Download pretrained weights, check them, and print where they are.

    a2sg-zoo download --list '*cifar10*'
    a2sg-zoo download NAME...
    a2sg-zoo download hf:OWNER/NAME[@REVISION]

Run the same command again to resume an interrupted download. Environment variables: A2SG_ZOO_CACHE (folder of the
cache), A2SG_ZOO_MIRROR (base URL of a mirror), A2SG_ZOO_OFFLINE=1 (download nothing), A2SG_ZOO_INDEX (another index).
Files of the Hugging Face Hub are in huggingface_hub's cache (HF_HOME).
"""

from collections.abc import Sequence

from a2sg_zoo.cli.parsing import Parser, errors_for_people


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('download', __doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help='names of pretrained weights, or hf:OWNER/NAME')
    parser.add_argument(
        '--list', nargs='?', const='*', metavar='PATTERN', help='list the names that match (default: all), and exit'
    )
    args = parser.parse_args(argv)
    if not args.names and args.list is None:
        parser.error('name the weights to download, or pass --list')
    with errors_for_people('interrupted; run the same command again to resume the download'):
        from a2sg_zoo.hub.index import find, names
        from a2sg_zoo.hub.pretrained import find_entry, pretrained_file

        if args.list is not None:
            found = names(args.list)
            for entry in map(find, found):
                print(f'{entry.name}  {entry["size"] / 1e6:.1f} MB  {entry["summary"]}')
            if not found:
                parser.exit(1, f'no name matches {args.list!r}; all are {", ".join(names()) or "none yet"}\n')
            return
        for name in args.names:  # a typo is found before anything is downloaded
            find_entry(name)
        for name in args.names:
            print(f'{name}: {pretrained_file(name)}')


if __name__ == '__main__':
    main()
