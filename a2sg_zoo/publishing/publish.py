"""From a training run to published weights: the file in half precision, its entry in the index, and its card."""

import argparse
import hashlib
import json
import shlex
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock

import a2sg_zoo
from a2sg_zoo.analysis.loading import load_batches
from a2sg_zoo.analysis.measures.energy import PJ_MAC, PJ_SOP, ann_energy, measure_energy
from a2sg_zoo.engine.arguments import add_train_arguments
from a2sg_zoo.engine.resume import find_checkpoint
from a2sg_zoo.engine.run import prepare_config, test
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.checkpoint import read_checkpoint
from a2sg_zoo.hub.description import describe
from a2sg_zoo.hub.files import write_atomically
from a2sg_zoo.hub.index import Entry, cards_path, check_entry, index_path, read_index, write_index
from a2sg_zoo.hub.published import load, read, save
from a2sg_zoo.publishing import cards

_NOT_STATED = 'none is stated at the source'
# what is known of the data sets; for others, `facts` tells
_DATA = {
    'Digits': dict(
        name="scikit-learn's digits",
        id='digits',
        licence='CC BY 4.0',
        about='1,437 handwritten digits for training, 360 for the test',
        url='https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits',
    ),
    'CIFAR10': dict(
        name='CIFAR-10',
        id='cifar10',
        licence=_NOT_STATED,
        url='https://www.cs.toronto.edu/~kriz/cifar.html',
        about='50,000 images of 10 classes for training, 10,000 for the test',
    ),
    'CIFAR100': dict(
        name='CIFAR-100',
        id='cifar100',
        licence=_NOT_STATED,
        url='https://www.cs.toronto.edu/~kriz/cifar.html',
        about='50,000 images of 100 classes for training, 10,000 for the test',
    ),
    'ADE20K': dict(
        name='ADE20K SceneParse150',
        id='scene_parse_150',
        licence='for research; see the source',
        about='20,210 images of 150 classes for training, 2,000 for validation',
        url='https://groups.csail.mit.edu/vision/datasets/ADE20K/',
    ),
}


# what the run does not tell; all else in an entry is read off it
OF_THE_PUBLISHER = ('data', 'licence', 'converted_from', 'flatness', 'uses', 'not_for', 'limits')

_CHOSEN = (
    'The checkpoint was chosen among those of the run by its score on the test images, which flatters its '
    'figures on them.'
)
# test images of which spikes are counted
_COUNTED = 64


def publish(
    run, name, summary, facts=None, command=None, location=None, cards_folder=None, replace=False, any_commit=False
):
    """Publishes a training run.

    The checkpoint is stored in half precision, and that file is evaluated on the run's test data, where its spikes are
    counted too; only then are file, index and card written.

    Args:
        run: folder of the run, of which the last checkpoint is taken; or a checkpoint in it. If that is one which was
            saved as the best on the test images, the card says so.
        name: for the weights.
        summary: a sentence on what they are.
        facts: fields of the entry, of those in `OF_THE_PUBLISHER`.
        command: of the training; by default what the run noted in run.json.
        location: where the file will lie, an address; by default it is shipped, in `weights` beside the index.
        cards_folder: for the card and the curves; by default `cards_path()`.
        replace: whether a name that the index has already gets these weights.
        any_commit: whether code that is at no commit, or differs from it, will do. The card says so.

    Returns:
        (path of the file, the new `Entry`). An index of one's own that is not there yet begins with it.

    Raises:
        ConfigError, CheckpointError: the run is not complete, cannot be repeated by its command, does not belong to its
            config, or is too large to ship; the name is taken; or the index is that of an installed package.
    """
    if cards_path() is None:
        raise ConfigError(
            f'{index_path()} belongs to the installed package, to which nothing is published; set '
            'A2SG_ZOO_INDEX to a file of yours, which need not be there yet'
        )
    cards_folder = cards_folder or cards_path()
    run, shipped = Path(run), Path('weights', f'{name}.safetensors')
    given = dict(facts or {}, summary=summary, location=location or shipped.as_posix())
    wrong = given.keys() - {*OF_THE_PUBLISHER, 'summary', 'location'}
    if wrong:
        raise ConfigError(
            f'facts: {", ".join(sorted(wrong))} cannot be given; the run tells. They may hold '
            f'{", ".join(OF_THE_PUBLISHER)}'
        )
    check_entry(name, given, 'the new entry', complete=False)
    entries = _others(name, replace)
    checkpoint = _checkpoint(run)
    folder = run if run.is_dir() else run.parent
    notes = _notes(folder)
    curves = _curves(folder, notes['start_iter'])
    args = _parse(command or notes['command'], folder)
    _require_repeatable(folder, notes, args, any_commit)
    with tempfile.TemporaryDirectory() as scratch:
        cfg = prepare_config(args.config, args.cfg_options, args.demo, work_dir=scratch, methods=args.method)
        if checkpoint.name.startswith('best_') and cfg.val_dataloader.dataset == cfg.test_dataloader.dataset:
            given['limits'] = [*given.get('limits', []), _CHOSEN]
        weights, description = read(checkpoint)
        meta = read_checkpoint(checkpoint)['meta']
        if describe(cfg, meta['dataset_meta'], args.config) != description:
            raise ConfigError(
                f'{checkpoint} was not trained with the network or the data that {args.config} and the '
                'options of its command give; name the right one with --command'
            )
        file = Path(scratch, shipped.name)
        save(weights, description, file)
        data = file.read_bytes()
        if location is None:
            _require_room(name, len(data), entries)
        scores = _evaluate(cfg, file, Path(scratch, 'result.json'))
        model, _ = load(file)
        spikes = _activity(cfg, model)
    entry = Entry(
        name,
        {
            **_from_run(cfg, args, notes, meta, name),
            **_from_weights(weights, model),
            'task': description.task,
            'model': description.model,
            'size': len(data),
            'sha256': hashlib.sha256(data).hexdigest(),
            **scores,
            **spikes,
            **given,
        },
        index_path(),
    )
    target = folder / file.name if location else index_path().parent / shipped
    files = cards.files_of(entry)
    try:
        index_path().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f'{index_path()} cannot be there: {error.strerror}; set A2SG_ZOO_INDEX to another') from error
    with FileLock(f'{index_path()}.lock'):
        entries = _others(name, replace)  # another may have published meanwhile
        if location is None:
            _require_room(name, len(data), entries)
        write_atomically(data, target)
        write_atomically(curves, Path(cards_folder, f'{name}.log.jsonl'))
        write_index({**entries, name: entry.facts}, index_path())
        cards.write(files, cards_folder)
    return target, entry


def _others(name, replace):
    """{name: facts} of the other entries of the index, which need not be there yet."""
    entries = {key: entry.facts for key, entry in read_index().items()} if index_path().exists() else {}
    if entries.pop(name, None) is not None and not replace:
        raise ConfigError(f'{index_path()} has weights named {name} already; choose another name, or pass --replace')
    return entries


def _require_repeatable(folder, notes, args, any_commit):
    commit = notes.get('commit')
    if not any_commit and (not commit or commit.endswith('+changes')):
        what = f'that differs from commit {commit.removesuffix("+changes")}' if commit else 'at an unknown commit'
        raise ConfigError(
            f'{folder} was trained by code {what}, which nobody else can have; commit and train again, '
            'or pass --any-commit to publish it all the same'
        )
    if notes.get('start_iter') and args.resume is None:
        raise ConfigError(
            f'{folder} began at iteration {notes["start_iter"]:,}, from another checkpoint, and its '
            "command does not say so; name the one that was resumed: --command '... --resume CHECKPOINT'"
        )


def _evaluate(cfg, file, result):
    """The fields `metrics` and, of a segmentation, `per_class`."""
    test(cfg, file, out=result)
    result = json.loads(result.read_text())
    per_class = [
        {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
        for row in result['per_class']
    ]
    return dict(
        metrics={key: round(value, 4) for key, value in result['metrics'].items()},
        **(dict(per_class=per_class) if per_class else {}),
    )


def _activity(cfg, model):
    """The fields `firing_rates` and `energy`."""
    batches = [inputs for inputs, _ in load_batches(cfg, model, 'test', _COUNTED, batch_size=16)]
    found = measure_energy(model, batches)
    dense = sum(ann_energy(found).values())
    return dict(
        firing_rates={layer: round(rate, 4) for layer, rate in found['rates'].items()},
        energy={
            'multiply-accumulates': round(found['macs']),
            'additions caused by spikes': round(found['sops']),
            'microjoule': round(found['energy_pj'] / 1e6, 3),
            'microjoule as an ANN': round(dense / 1e6, 3),
            'mean firing rate': round(found['firing_rate'], 4),
            'assumptions': f'{PJ_MAC} pJ a multiply-accumulate, {PJ_SOP} pJ an addition (32 bits, 45 nm; Horowitz, '
            'ISSCC 2014); without memory and neurons; mean of '
            f'{sum(map(len, batches))} test images',
        },
    )


def _from_weights(weights, model):
    """The fields that weights and network tell."""
    beta = {
        name.removesuffix('.beta'): [round(value, 4) for value in x.flatten().tolist()]
        for name, x in weights.items()
        if name.endswith('.beta')
    }
    return dict(
        T=model.backbone.T, parameters=sum(p.numel() for p in model.parameters()), **(dict(beta=beta) if beta else {})
    )


def _checkpoint(run):
    if not run.exists():
        raise ConfigError(f'{run} does not exist; name the folder of a run, or a checkpoint in it')
    if not run.is_dir():
        return run
    last = Path(find_checkpoint(run, 'last'))
    own = run / last.name  # where the folder is a copy, what the run noted is the one in the first folder
    return own if own.is_file() else last


def _notes(folder):
    path = folder / 'run.json'
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f'{path} cannot be read ({error}); every run of tools/train.py writes it. Weights are '
            'published only with the command, the seed and the log that belong to them'
        ) from error


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ValueError(message)


def _parse(command, folder):
    """The arguments of a command line of tools/train.py, a text or a list."""
    words = shlex.split(command) if isinstance(command, str) else command
    parser = _Parser(add_help=False)
    add_train_arguments(parser)
    try:
        return parser.parse_args(_after_the_tool(words))
    except ValueError as error:
        raise ConfigError(
            f'the command of {folder}, {shlex.join(words)!r:.200}, is none of tools/train.py ({error}); '
            "give it with --command 'python tools/train.py CONFIG ...'"
        ) from error


def _after_the_tool(words):
    for i, word in enumerate(words):
        if Path(word).name == 'train.py' or word == 'a2sg_zoo.cli.train':
            return words[i + 1 :]
        if Path(word).name == 'a2sg-zoo' and words[i + 1 : i + 2] == ['train']:
            return words[i + 2 :]
    raise ValueError('it names no train.py')


def _from_run(cfg, args, notes, meta, name):
    """The fields of an entry that the run tells."""
    options = [
        option.partition('=')[0] + '=PATH' if option.partition('=')[2].startswith('/') else option
        for option in args.written_options
    ]
    config = Path(args.config)
    if config.is_absolute():  # as seen from the checkout
        parts = config.parts
        config = Path(*parts[parts.index('configs') :]) if 'configs' in parts else Path(config.name)
    processes = notes.get('world_size', 1)
    start = ['torchrun', '--nproc-per-node', str(processes)] if args.launcher == 'pytorch' else ['python']
    own = [
        *(['--amp'] if args.amp else []),
        *([] if args.seed is None else ['--seed', str(args.seed)]),
        *([] if args.launcher == 'none' else ['--launcher', args.launcher]),
        # from the newest checkpoint of the run itself the same comes out as without
        *([] if args.resume in (None, 'auto') else ['--resume', Path(args.resume).name]),
    ]
    methods = [word for name in args.method for word in ('--method', name)]
    shared = [*methods, *(['--demo'] if args.demo else []), *(['--cfg-options', *options] if options else [])]
    policy = (cfg.get('adaptation') or {}).get('policy')
    dataset = cfg.test_dataloader.dataset
    kind = f'CIFAR{dataset.get("num_classes", 10)}' if dataset.type == 'CIFAR' else dataset.type
    return dict(
        config=config.as_posix(),
        licence='Apache-2.0',
        code_version=a2sg_zoo.__version__,
        data=_DATA.get(kind, dict(name=kind)),
        recipe=dict(
            command=shlex.join([*start, 'tools/train.py', config.as_posix(), *own, *shared]),
            evaluation=shlex.join(['python', 'tools/test.py', config.as_posix(), f'zoo:{name}', *shared]),
            **_settings(cfg, processes),
            method=_method(policy),
            seed=meta['seed'],
            iterations=meta['iter'],
            **({'resumed_at': notes['start_iter']} if notes.get('start_iter') else {}),
            device=notes['device'],
            commit=str(notes.get('commit')),
            torch=notes['torch'],
        ),
    )


def _settings(cfg, processes):
    """The fields of a recipe that its config tells."""
    optimizer, wrapper = dict(cfg.optim_wrapper.optimizer), cfg.optim_wrapper
    kind, rate = optimizer.pop('type'), optimizer.pop('lr')
    others = [f'{key.replace("_", " ")} {value}' for key, value in optimizer.items()]
    batch = cfg.train_dataloader.batch_size * wrapper.get('accumulative_counts', 1) * processes
    variable = next(
        (name for name, value in cfg.env_variables.items() if value == cfg.test_dataloader.dataset.get('data_root')),
        None,
    )
    return dict(
        **(dict(variable=variable) if variable else {}),
        optimizer=', '.join([kind, *others]),
        learning_rate=rate,
        batch_size=batch,
    )


def _method(policy):
    if policy is None:
        return "the config's surrogate, fixed"
    return f'{policy["surrogate"]["type"]}, fixed' if policy['type'] == 'Fixed' else policy['type']


def _require_room(name, size, others):
    together = size + sum(facts['size'] for facts in others.values() if not urlsplit(facts['location']).scheme)
    if size > cards.MEGABYTES_EACH * 10**6 or together > cards.MEGABYTES_TOGETHER * 10**6:
        raise ConfigError(
            f'{name} takes {size / 1e6:.1f} MB, and all shipped weights would take {together / 1e6:.1f}; '
            f'the limits are {cards.MEGABYTES_EACH} and {cards.MEGABYTES_TOGETHER}. Say with --location '
            'where else you will put the file'
        )


def _curves(folder, start_iter):
    """The log of a run without what it tells of single layers, JSON lines.

    A run that was killed and resumed has a log of each time; what came before counts up to the iteration at which the
    next one began, so that nothing is left of other runs in the same folder. A line that a kill cut short is left out.

    Args:
        start_iter: iteration at which the last log began; that of the others is seen in what they tell first.
    """
    logs = sorted(folder.glob('*/vis_data/scalars.json'))
    if not logs:
        raise ConfigError(
            f'{folder} has no */vis_data/scalars.json; weights are published only with the log of their run'
        )
    kept = {}
    for log in logs:
        lines = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith('\n')]
        began = start_iter if log == logs[-1] else next((line['iter'] - 1 for line in lines if 'iter' in line), None)
        if began is not None:
            kept = {key: record for key, record in kept.items() if record['step'] <= began}
        for line in lines:
            record = {key: value for key, value in line.items() if '/' not in key}
            if record.keys() - {'step', 'iter'}:
                # of a training in epochs, the steps of evaluations are epochs
                kept['iter' in record, record['step']] = record
    return ''.join(json.dumps(record) + '\n' for record in kept.values()).encode()
