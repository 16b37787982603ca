"""Searches for values of a config by Hyperopt's TPE, judged by a part of the training data.

    python tools/search.py CONFIG.py --trials 20 --workers 2
    python tools/search.py SUITE.py --trials 6 --workers 2

A config has its search under `search`; of a suite, every network, data set and method is searched alike. The best
values are printed, and written to best.json beside the trials; the same command goes on where it was stopped.
"""

import argparse
import json
from pathlib import Path

from mmengine.config import Config

from a2sg_zoo.benchmark.suites.suite import compose, read_suite
from a2sg_zoo.benchmark.tuning.trials import tune
from a2sg_zoo.engine.config import find_config, load_config, validate_config
from a2sg_zoo.engine.run import errors_for_people
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.files import write_atomically


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file', type=Path, help='config or suite')
    parser.add_argument('--trials', type=int, required=True, help='trials in all, those of earlier calls included')
    parser.add_argument('--workers', type=int, default=1, help='trials at a time (default: 1)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, help='folder of the trials (default: work_dirs/searches/NAME)')
    parser.add_argument('--only', nargs='+', metavar='METHOD', help='of a suite: only these methods')
    args = parser.parse_args()
    with errors_for_people():
        folder = args.out or Path('work_dirs/searches', args.file.stem)
        best = {}
        for name, composed, description, timeout in _searches(args.file, args.only):

            def report(trial, name=name):
                score = f'failed: {trial["note"]}' if trial['score'] is None else f'{trial["score"]:.2f}'
                print(f'{name} trial {trial["trial"]}: {score}  {trial["values"]}', flush=True)

            found = tune(composed, description, folder / name, args.trials, args.workers, args.seed, timeout, report)
            best[name] = dict(score=found['score'], options=found['values'])
            print(f'{name} best: {found["score"]:.2f}  {found["values"]}', flush=True)
            write_atomically((json.dumps(best, indent=1) + '\n').encode(), folder / 'best.json')


def _searches(file, only):
    """(name, compose(overrides), description, timeout) of each search that a file describes."""
    file = find_config(file)
    if 'networks' not in Config.fromfile(file, import_custom_modules=False):
        cfg = load_config(file)
        if 'search' not in cfg:
            raise ConfigError(f'{file} describes no search; add a dictionary `search` with a space')

        def composed(options):
            cfg = load_config(file, options)
            cfg.pop('search')
            validate_config(cfg)
            return cfg

        yield file.stem, composed, cfg.search.to_dict(), 86400
        return
    suite = read_suite(file)
    unknown = set(only or ()) - suite.methods.keys()
    if unknown:
        raise ConfigError(f'--only: {file} has no method {", ".join(sorted(unknown))}')
    for network in suite.networks:
        for dataset in suite.datasets:
            for method in only or suite.methods:
                description = dict(suite.search)
                for key, more, name in (('space', 'method_space', method), ('options', 'dataset_options', dataset)):
                    description[key] = {**description.get(key, {}), **description.pop(more, {}).get(name, {})}
                yield (
                    f'{network}-{dataset}-{method}',
                    lambda options, names=(network, dataset, method): compose(suite, *names, options),
                    description,
                    suite.timeout,
                )


if __name__ == '__main__':
    main()
