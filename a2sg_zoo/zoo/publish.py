"""From a training run to published weights: the file in half precision, its entry in the index, and its card."""

import argparse
import hashlib
import json
import shlex
import tempfile
from pathlib import Path

from mmengine.config import DictAction

import a2sg_zoo
from a2sg_zoo.checkpoint import read_checkpoint
from a2sg_zoo.engine.launch import find_checkpoint, prepare_config, test
from a2sg_zoo.engine.saving import write_atomically
from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.zoo import cards
from a2sg_zoo.zoo.index import Entry, check_entry, index_path, read_index, write_index
from a2sg_zoo.zoo.published import describe, load, read, save

# what is known of the data sets; for others, `facts` tells
_DATA = {
    'Digits': dict(name="scikit-learn's digits", id='digits', licence='CC BY 4.0',
                   about='1,437 handwritten digits for training, 360 for the test',
                   url='https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits'),
    'CIFAR10': dict(name='CIFAR-10', id='cifar10', about='50,000 images of 10 classes for training, 10,000 for the test',
                    url='https://www.cs.toronto.edu/~kriz/cifar.html'),
    'CIFAR100': dict(name='CIFAR-100', id='cifar100', url='https://www.cs.toronto.edu/~kriz/cifar.html',
                     about='50,000 images of 100 classes for training, 10,000 for the test'),
    'ADE20K': dict(name='ADE20K SceneParse150', id='scene_parse_150', licence='for research; see the source',
                   about='20,210 images of 150 classes for training, 2,000 for validation',
                   url='https://groups.csail.mit.edu/vision/datasets/ADE20K/')}


def publish(run, name, summary, facts=None, command=None, location=None, cards_folder='model_cards'):
    """Publishes a training run.

    The checkpoint is stored in half precision, and that file is evaluated on the run's test data; only then are file,
    index and card written.

    Args:
        run: folder of the run, of which the best checkpoint is taken, or else the last; or a checkpoint in it.
        name: for the weights.
        summary: a sentence on what they are.
        facts: fields of the entry that the run does not tell, such as `limits`, or that replace what it tells: `data`.
        command: of the training; by default what the run noted in run.json.
        location: where the file will lie, an address; by default it is shipped, in `weights` beside the index.
        cards_folder: for the card and the curves.

    Returns:
        (path of the file, the new `Entry`).

    Raises:
        ConfigError, CheckpointError: the run is not complete, does not belong to its config, or is too large to ship.
    """
    run, facts = Path(run), facts or {}
    checkpoint = _checkpoint(run)
    folder = run if run.is_dir() else run.parent
    notes = _notes(folder)
    args, options = _parse(command or notes['command'], folder)
    with tempfile.TemporaryDirectory() as scratch:
        cfg = prepare_config(args.config, options, args.demo, work_dir=scratch)
        weights, description = read(checkpoint)
        meta = read_checkpoint(checkpoint)['meta']
        if describe(cfg, meta['dataset_meta'], args.config) != description:
            raise ConfigError(f'{checkpoint} was not trained with the network or the data that {args.config} and the '
                              'options of its command give; name the right one with --command')
        file = Path(scratch, f'{name}.safetensors')
        save(weights, description, file)
        data = file.read_bytes()
        shipped = Path('weights', file.name)
        entry = Entry(name, {
            **_from_run(cfg, args, notes, meta, name, command), 'task': description.task, 'summary': summary,
            'model': description.model, 'location': location or shipped.as_posix(), 'size': len(data),
            'sha256': hashlib.sha256(data).hexdigest(), 'T': description.model['backbone']['T'],
            'parameters': sum(p.numel() for p in load(file)[0].parameters()), 'beta': _windows(weights),
            'metrics': {'not yet': 0}, **facts}, index_path())
        check_entry(name, entry.facts, 'the new entry')
        entries = {**read_index(), name: entry}
        if location is None:
            _require_room(entries, name)
        result = Path(scratch, 'result.json')
        test(cfg, file, out=result)
        result = json.loads(result.read_text())
    entry.facts['metrics'] = {key: round(value, 4) for key, value in result['metrics'].items()}
    if result['per_class']:
        entry.facts['per_class'] = [{key: round(value, 4) if isinstance(value, float) else value
                                     for key, value in row.items()} for row in result['per_class']]
    target = folder / file.name if location else index_path().parent / shipped
    write_atomically(data, target)
    write_atomically(_curves(folder), Path(cards_folder, f'{name}.log.jsonl'))
    write_index({key: value.facts for key, value in entries.items()}, index_path())
    cards.write_card(entry, cards_folder)
    return target, entry


def _checkpoint(run):
    if not run.is_dir():
        return run
    try:
        return find_checkpoint(run, 'best')
    except CheckpointError:
        return Path(find_checkpoint(run, 'last'))


def _notes(folder):
    path = folder / 'run.json'
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f'{path} cannot be read ({error}); every run of tools/train.py writes it. Weights are '
                          'published only with the command, the seed and the log that belong to them') from error


def _parse(command, folder):
    """(arguments, options) of a command line of tools/train.py, a text or a list."""
    words = shlex.split(command) if isinstance(command, str) else command
    tool = next((i for i, word in enumerate(words) if Path(word).name == 'train.py'), None)
    parser = argparse.ArgumentParser(exit_on_error=False, add_help=False)
    parser.add_argument('config')
    parser.add_argument('--demo', action='store_true')
    parser.add_argument('--work-dir')
    parser.add_argument('--resume', nargs='?')
    parser.add_argument('--cfg-options', nargs='+', default=[])
    try:
        if tool is None:
            raise ValueError('it names no train.py')
        args, args.others = parser.parse_known_args(words[tool + 1:])
        options = argparse.Namespace(cfg_options=None)
        if args.cfg_options:
            DictAction('--cfg-options', 'cfg_options', nargs='+')(parser, options, args.cfg_options)
    except (ValueError, argparse.ArgumentError) as error:
        raise ConfigError(f'the command of {folder}, {shlex.join(words)!r:.200}, is none of tools/train.py ({error}); '
                          "give it with --command 'python tools/train.py CONFIG ...'") from error
    return args, options.cfg_options


def _from_run(cfg, args, notes, meta, name, command):
    """The fields of an entry that the run tells."""
    options = [option.partition('=')[0] + '=PATH' if option.partition('=')[2].startswith('/') else option
               for option in args.cfg_options]
    config = Path(args.config)
    if config.is_absolute():  # as seen from the checkout
        parts = config.parts
        config = Path(*parts[parts.index('configs'):]) if 'configs' in parts else Path(config.name)
    shared = [*(['--demo'] if args.demo else []), *(['--cfg-options', *options] if options else [])]
    policy = next((hook['policy'] for hook in cfg.get('custom_hooks', []) if 'policy' in hook), None)
    dataset = cfg.test_dataloader.dataset
    kind = f'CIFAR{dataset.get("num_classes", 10)}' if dataset.type == 'CIFAR' else dataset.type
    return dict(
        config=config.as_posix(), licence='Apache-2.0', code_version=a2sg_zoo.__version__,
        data=_DATA.get(kind, dict(name=kind)), recipe=dict(
            command=shlex.join(['python', 'tools/train.py', config.as_posix(), *args.others, *shared]),
            evaluation=shlex.join(['python', 'tools/test.py', config.as_posix(), f'zoo:{name}', *shared]),
            method=policy['type'] if policy else 'surrogate of the config, fixed', seed=meta['seed'],
            iterations=meta['iter'], device=notes['device'], commit=str(notes.get('commit')), torch=notes['torch']))


def _windows(weights):
    return {name.removesuffix('.beta'): [round(float(value), 4) for value in x.flatten()]
            for name, x in weights.items() if name.endswith('.beta')} or {'none': [0.0]}


def _require_room(entries, name):
    size = entries[name]['size']
    together = sum(entry['size'] for entry in entries.values() if entry.shipped is not None)
    if size > cards.MEGABYTES_EACH * 10 ** 6 or together > cards.MEGABYTES_TOGETHER * 10 ** 6:
        raise ConfigError(f'{name} takes {size / 1e6:.1f} MB, with which the shipped weights take {together / 1e6:.1f}; '
                          f'at most {cards.MEGABYTES_EACH} and {cards.MEGABYTES_TOGETHER} are to be. Name where you '
                          'will put the file: --location')


def _curves(folder):
    """The log of a run without what it tells of single layers, JSON lines."""
    logs = sorted(folder.glob('*/vis_data/scalars.json'))
    if not logs:
        raise ConfigError(f'{folder} has no */vis_data/scalars.json; weights are published only with the log of their run')
    records = [{key: value for key, value in json.loads(line).items() if '/' not in key}
               for log in logs for line in log.read_text().splitlines()]
    return ''.join(json.dumps(record) + '\n' for record in records if record.keys() - {'step', 'iter'}).encode()
