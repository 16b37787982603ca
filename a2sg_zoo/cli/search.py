"""Search for good values of a config, such as the learning rate, with Optuna's TPE.

    a2sg-zoo search CONFIG.py --trials 20 --workers 2
    a2sg-zoo search SUITE.py --trials 6 --workers 2

A part of the training data judges the trials. A config describes its search under `search`. In a suite, every network,
data set and method is searched in the same way. The best values are printed, and written to best.json beside the
trials. Run the same command again to continue an interrupted search.
"""

import fnmatch
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from a2sg_zoo.cli.parsing import Parser, at_least, errors_for_people
from a2sg_zoo.errors import ConfigError, DataError


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('search', __doc__)
    parser.add_argument('file', type=Path, help='config or suite')
    parser.add_argument(
        '--trials', type=at_least(1), required=True, help='total number of trials, with those of earlier calls'
    )
    parser.add_argument('--workers', type=at_least(1), default=1, help='trials at a time (default: 1)')
    parser.add_argument('--seed', type=at_least(0), default=0, help='seed of the search (default: 0)')
    parser.add_argument(
        '--out', type=Path, metavar='FOLDER', help='folder of the trials (default: work_dirs/searches/NAME)'
    )
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='PATTERN',
        help="of a suite, only searches with a name NETWORK-DATASET-METHOD that fits one of these, such as '*-tri'",
    )
    args = parser.parse_args(argv)
    with errors_for_people('interrupted; run the same command again to continue'):
        from a2sg_zoo.benchmark.tuning.trials import tune
        from a2sg_zoo.hub.files import write_atomically

        folder = args.out or Path('work_dirs/searches', args.file.stem)
        best, problems = _earlier(folder / 'best.json'), []
        for name, composed, description, timeout in _searches(args.file, args.only):

            def report(trial, name=name):
                score = f'failed: {trial["note"]}' if trial['score'] is None else f'{trial["score"]:.2f}'
                print(f'{name} trial {trial["trial"]}: {score}  {trial["values"]}', flush=True)

            try:
                found = tune(
                    composed, description, folder / name, args.trials, args.workers, args.seed, timeout, report
                )
            except DataError as error:  # the other methods get their trials all the same
                problems.append(str(error))
                continue
            best[name] = dict(score=found['score'], options=found['values'])
            print(f'{name} best: {found["score"]:.2f}  {found["values"]}', flush=True)
            write_atomically((json.dumps(best, indent=1) + '\n').encode(), folder / 'best.json')
        if problems:
            raise DataError('; '.join(problems))


def _earlier(path: Path) -> dict[str, Any]:
    """What earlier calls have found in a folder: a call with --only keeps the other methods."""
    try:
        return dict(json.loads(path.read_bytes())) if path.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f'{path} is damaged ({error}); move it away, or name another folder with --out') from error


def _searches(file: Path, only: Sequence[str] | None) -> Iterator[tuple[str, Any, dict[str, Any], float]]:
    """(name, compose(overrides), description, timeout) of each search that a file describes."""
    from a2sg_zoo.benchmark.suites.suite import compose, read_suite
    from a2sg_zoo.engine.config import load_config
    from a2sg_zoo.engine.config_files import read_config
    from a2sg_zoo.engine.config_names import find_config

    found, methods = find_config(file)
    if 'networks' not in read_config(found, methods).values:
        if only:
            raise ConfigError(f'--only: {file} is a config and has one method; leave out --only')
        cfg = load_config(file)
        if 'search' not in cfg:
            raise ConfigError(f'{file} describes no search; add a dictionary `search` with a space')

        def composed(options):
            cfg = load_config(file, options)
            cfg.pop('search')
            return cfg

        yield file.stem, composed, cfg.search.to_dict(), 86400
        return
    suite = replace(read_suite(file), tuned={})  # a search does not begin with what another one found
    cells = {'-'.join(cell): cell for cell in product(suite.networks, suite.datasets, suite.methods)}
    patterns = only or ['*']
    for pattern in patterns:
        if not fnmatch.filter(cells, pattern):
            raise ConfigError(f'--only: no search of {file} fits {pattern}; the first is {next(iter(cells))}')
    for cell, (network, dataset, method) in cells.items():
        if not any(fnmatch.fnmatch(cell, pattern) for pattern in patterns):
            continue
        description = dict(suite.search)
        for key, more, name in (('space', 'method_space', method), ('options', 'dataset_options', dataset)):
            description[key] = {**description.get(key, {}), **description.pop(more, {}).get(name, {})}
        yield cell, partial(compose, suite, network, dataset, method), description, suite.timeout


if __name__ == '__main__':
    main()
