"""Publishes the weights of a training run: a file in half precision, its entry in the index, and its model card.

    python tools/publish.py work_dirs/run --name spikformer_digits --summary 'A small Spikformer for digits.'
    python tools/publish.py --check

The published file is evaluated on the run's test data, and that is what index and card say. --check makes every card
anew, compares it, and compares the shipped files with the index; it changes nothing. A2SG_ZOO_INDEX names an index of
one's own, beside which weights and cards lie, and which the first publication begins.
"""

import argparse
import json
from pathlib import Path

from a2sg_zoo.engine.run import errors_for_people
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.index import cards_path, read_index
from a2sg_zoo.publishing.cards import check
from a2sg_zoo.publishing.publish import publish


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', nargs='?', help='folder of the run (its last checkpoint), or a checkpoint in it')
    parser.add_argument('--name', help='for the weights, lower case')
    parser.add_argument('--summary', help='a sentence on what they are')
    parser.add_argument(
        '--facts',
        type=Path,
        metavar='JSON',
        help='file with more fields of the entry: data, uses, not_for, limits, flatness...',
    )
    parser.add_argument('--command', help="of the training (default: the run's note, run.json)")
    parser.add_argument('--location', help='where the file will lie, file:, https: or hf: (default: it is shipped)')
    parser.add_argument(
        '--cards',
        type=Path,
        default=cards_path(),
        metavar='FOLDER',
        help="of the cards (default: model_cards in the checkout, or beside the index of one's own)",
    )
    parser.add_argument('--replace', action='store_true', help='also under a name that the index has already')
    parser.add_argument(
        '--any-commit',
        action='store_true',
        help='publish even what was trained by code that is at no commit, or differs from it',
    )
    parser.add_argument('--check', action='store_true', help='compare cards and shipped files with the index')
    args = parser.parse_args(argv)
    if not args.check and not (args.run and args.name and args.summary):
        parser.error('name a run, --name and --summary; or pass --check')
    with errors_for_people():
        if args.check:
            entries = read_index()
            problems = check(entries, args.cards)
            if problems:
                raise ConfigError('the zoo is not in order:' + ''.join(f'\n    {problem}' for problem in problems))
            print(f'{len(entries)} weights, all in order' + ('' if args.cards else '; their cards are not installed'))
            return
        path, entry = publish(
            args.run,
            args.name,
            args.summary,
            _facts(args.facts),
            args.command,
            args.location,
            args.cards,
            args.replace,
            args.any_commit,
        )
        print(
            f'{path}: {entry["size"] / 1e6:.1f} MB, '
            + ', '.join(f'{k} {v:.2f}' for k, v in entry['metrics'].items())
            + f'\ncard: {args.cards / entry.name}.md'
        )


def _facts(path):
    try:
        return json.loads(path.read_text()) if path else None
    except (OSError, ValueError) as error:
        raise ConfigError(f'--facts {path} cannot be read: {error}') from error


if __name__ == '__main__':
    main()
