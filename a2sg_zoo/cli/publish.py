"""Publish the weights of a training run: a file, its entry in the index, and its model card.

    a2sg-zoo publish work_dirs/run --name spikformer_digits --summary 'A small Spikformer for digits.'
    a2sg-zoo publish --check
    a2sg-zoo publish --update
    a2sg-zoo publish --push OWNER/NAME --name spikformer_digits

The file holds the weights in half precision. It is evaluated on the test data of the run; index and card report these
results. --check compares every card and metafile with a newly made one and every shipped file with the index, and
changes nothing. --update makes cards and metafiles again from the index.
--push puts weights of the index into a repository of the Hugging Face Hub, with their card; log in first with
`hf auth login`, or set HF_TOKEN. `a2sg_zoo.get_model('hf:OWNER/NAME')` loads them.
A2SG_ZOO_INDEX names another index; weights and cards then lie beside it, and the first publication creates it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from a2sg_zoo.cli.parsing import Parser, errors_for_people
from a2sg_zoo.errors import ConfigError


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('publish', __doc__)
    parser.add_argument('run', nargs='?', help='folder of the run (its last checkpoint), or a checkpoint in it')
    parser.add_argument('--name', help='name of the pretrained weights, in lower case')
    parser.add_argument('--summary', help='one sentence about them')
    parser.add_argument(
        '--facts',
        type=Path,
        metavar='JSON',
        help='JSON file with more fields of the entry: data, uses, not_for, limits, flatness...',
    )
    parser.add_argument('--command', help='command of the training (default: the one in run.json of the run)')
    parser.add_argument(
        '--location', help='address of the file, with file:, https: or hf: (default: the file is shipped)'
    )
    parser.add_argument(
        '--cards',
        type=Path,
        metavar='FOLDER',
        help='folder of the cards (default: model_cards, in the checkout or beside the index of A2SG_ZOO_INDEX)',
    )
    parser.add_argument('--replace', action='store_true', help='replace weights that the index already has')
    parser.add_argument(
        '--any-commit', action='store_true', help='publish weights that were trained by code with uncommitted changes'
    )
    parser.add_argument('--check', action='store_true', help='compare cards and shipped files with the index')
    parser.add_argument('--update', action='store_true', help='make cards and metafiles again from the index')
    parser.add_argument(
        '--push', metavar='OWNER/NAME', help='put the weights --name into this repository of the Hugging Face Hub'
    )
    parser.add_argument('--private', action='store_true', help='make a new repository of --push private')
    args = parser.parse_args(argv)
    if args.push and (args.run or not args.name):
        parser.error('--push takes weights of the index: name them with --name, and name no run')
    if not (args.check or args.update or args.push) and not (args.run and args.name and args.summary):
        parser.error('name a run, --name and --summary; or pass --check, --update or --push')
    with errors_for_people():
        from a2sg_zoo.hub.index import cards_path, read_index

        cards = args.cards or cards_path()
        if args.check or args.update:
            from a2sg_zoo.publishing.generated import check, checkout, update

            entries = read_index()
            for path in update(entries, cards, checkout()) if args.update else ():
                print(path)
            problems = check(entries, cards, checkout())
            if problems:
                raise ConfigError('the zoo is not in order:' + ''.join(f'\n    {problem}' for problem in problems))
            print(f'{len(entries)} weights, all in order' + ('' if cards else '; their cards are not installed'))
            return
        if args.push:
            from a2sg_zoo.publishing.push import push

            print(f"a2sg_zoo.get_model('{push(args.name, args.push, args.private, args.cards)}')")
            return
        from a2sg_zoo.publishing.publish import publish

        path, entry = publish(
            args.run,
            args.name,
            args.summary,
            _facts(args.facts),
            args.command,
            args.location,
            cards,
            args.replace,
            args.any_commit,
        )
        print(
            f'{path}: {entry["size"] / 1e6:.1f} MB, '
            + ', '.join(f'{k} {v:.2f}' for k, v in entry['metrics'].items())
            + f'\ncard: {cards / entry.name}.md'
        )


def _facts(path):
    try:
        return json.loads(path.read_text()) if path else None
    except (OSError, ValueError) as error:
        raise ConfigError(f'--facts {path} cannot be read: {error}') from error


if __name__ == '__main__':
    main()
