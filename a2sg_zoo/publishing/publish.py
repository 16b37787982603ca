"""From a training run to pretrained weights: the file in half precision, its entry in the index, and its card."""

import argparse
import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub import web
from a2sg_zoo.hub.checkpoint import read_checkpoint
from a2sg_zoo.hub.describing import describe
from a2sg_zoo.hub.files import write_atomically
from a2sg_zoo.hub.index import Entry, cards_path, check_entry, index_path, read_index, write_index
from a2sg_zoo.hub.published import load, read, save
from a2sg_zoo.publishing import entries, generated, runs
from a2sg_zoo.publishing.cards import log_name

# fields of an entry that the run does not tell
OF_THE_PUBLISHER = ('data', 'licence', 'converted_from', 'flatness', 'uses', 'not_for', 'limits')

_CHOSEN = (
    'The checkpoint was chosen among those of the run by its score on the test images, which flatters its figures on '
    'them.'
)


def publish(
    run: str | Path,
    name: str,
    summary: str,
    facts: Mapping[str, Any] | None = None,
    command: str | None = None,
    location: str | None = None,
    cards_folder: str | Path | None = None,
    replace: bool = False,
    any_commit: bool = False,
) -> tuple[Path, Entry]:
    """Publishes the weights of a training run.

    The checkpoint is stored in half precision. That file is evaluated on the run's test data, and its spikes are
    counted there. Only then are file, log, index and card written, in this order. The file has its hash in its name,
    and the index, which names it, is replaced in one step, so a kill at any time leaves the old or the new weights.

    Args:
        run: folder of the run, whose last checkpoint is taken; or a checkpoint in it. If that was saved as the best one
            on the test images, the card says so.
        name: of the pretrained weights, in lower case.
        summary: one sentence about them.
        facts: more fields of the entry, of those in `OF_THE_PUBLISHER`.
        command: of the training; by default the one in the run's run.json.
        location: address where you will put the file; by default it is shipped, in `weights` beside the index.
        cards_folder: for the card and the log; by default `cards_path()`.
        replace: whether weights that the index already has may be replaced.
        any_commit: whether weights may be published that were trained by code with uncommitted changes. The card names
            the commit in any case.

    Returns:
        (path of the file, the new entry). An index of your own that does not exist yet is created.

    Raises:
        ConfigError, CheckpointError: the run is not complete, cannot be repeated by its command, does not belong to its
            config, or is too large to ship; the name is taken; or the index is that of an installed package.
    """
    if cards_path() is None:
        raise ConfigError(
            f'{index_path()} belongs to the installed package, to which nothing is published; set A2SG_ZOO_INDEX to a '
            'file of yours, which need not exist yet'
        )
    cards_folder = Path(cards_folder or cards_path())
    run = Path(run)
    given = _given(name, summary, facts, location)
    _other_entries(name, replace)
    checkpoint = runs.find_published_checkpoint(run)
    folder = run if run.is_dir() else run.parent
    notes = runs.read_notes(folder)
    curves = runs.read_curves(folder, notes['start_iter'])
    args = entries.parse_command(command or notes['command'], folder)
    _require_repeatable(folder, notes, args, any_commit)
    with tempfile.TemporaryDirectory() as scratch:
        cfg = prepare_config(args.config, args.cfg_options, args.demo, work_dir=scratch, methods=args.method)
        if checkpoint.name.startswith('best_') and cfg.val_dataloader.dataset == cfg.test_dataloader.dataset:
            given['limits'] = [*given.get('limits', []), _CHOSEN]
        weights, description = read(checkpoint)
        meta = read_checkpoint(checkpoint)['meta']
        if describe(cfg, meta['dataset_meta'], args.config) != description:
            raise ConfigError(
                f'{checkpoint} was not trained with the network or the data that {args.config} and the options of its '
                'command give; name the right one with --command'
            )
        file = Path(scratch, f'{name}.safetensors')
        save(weights, description, file)
        data = file.read_bytes()
        if location is None:
            _require_room(name, len(data), _other_entries(name, replace))
        model, _ = load(file)
        facts = dict(
            **entries.facts_of_run(cfg, args, notes, meta, name),
            **entries.facts_of_weights(weights, model),
            **entries.scores(cfg, file, Path(scratch, 'result.json')),
            **entries.activity(cfg, model),
            task=description.task,
            model=description.model,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )
    filename = f'{name}-{facts["sha256"][:8]}.safetensors'
    entry = Entry(name, {**facts, 'location': f'weights/{filename}', **given}, index_path())
    target = folder / filename if location else index_path().parent / 'weights' / filename
    write(entry, data, target, curves, cards_folder, replace)
    return target, entry


def _given(name: str, summary: str, facts: Mapping[str, Any] | None, location: str | None) -> dict[str, Any]:
    if facts is not None and not isinstance(facts, Mapping):
        raise ConfigError(f'facts must be a dictionary with some of {", ".join(OF_THE_PUBLISHER)}, got {facts!r:.200}')
    given = dict(facts or {}, summary=summary, **(dict(location=location) if location else {}))
    wrong = given.keys() - {*OF_THE_PUBLISHER, 'summary', 'location'}
    if wrong:
        raise ConfigError(
            f'facts: {", ".join(sorted(wrong))} cannot be given, because the run tells it. You may give '
            f'{", ".join(OF_THE_PUBLISHER)}'
        )
    check_entry(name, given, 'the new entry', complete=False)
    if location and web.has_credentials(location):
        raise ConfigError(
            f'the new entry: {name}.location = {web.shown(location)} has a user or a password, which the index would '
            'show to everybody; leave them out'
        )
    return given


def write(entry: Entry, data: bytes, target: Path, curves: bytes, cards_folder: Path, replace: bool = False) -> None:
    """Writes the files of a publication in the order that is safe against a kill; see `publish`.

    Args:
        entry: the new one.
        data: contents of the weight file.
        target: path of the weight file, with its hash in its name.
        curves: contents of the log.
        cards_folder: of the card and the log.
        replace: whether weights that the index already has may be replaced.

    Raises:
        ConfigError: the name is taken, the index cannot be written, or the weights are too large to ship.
        CheckpointError: a file cannot be written; the old weights are still there.
    """
    try:
        index_path().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f'{index_path()} cannot be written: {error.strerror}; set A2SG_ZOO_INDEX to another file'
        ) from error
    with FileLock(f'{index_path()}.lock'):
        others = _other_entries(entry.name, replace)  # another process may have published meanwhile
        if entry.shipped is not None:
            _require_room(entry.name, len(data), others)
        write_atomically(data, target)
        write_atomically(curves, cards_folder / log_name(entry))
        write_index({**others, entry.name: entry.facts}, index_path())
        # from here on the new weights are published; `a2sg-zoo publish --update` can repeat the rest
        published = read_index()
        generated.update({entry.name: published[entry.name]}, cards_folder, None)
        generated.update(published, None, generated.checkout())
        for folder in {index_path().parent, index_path().parent / 'weights', cards_folder}:
            generated.sweep(published, folder)


def _other_entries(name: str, replace: bool) -> dict[str, dict]:
    """{name: facts} of the other entries of the index, which need not exist yet."""
    others = {key: entry.facts for key, entry in read_index().items()} if index_path().exists() else {}
    if others.pop(name, None) is not None and not replace:
        raise ConfigError(f'{index_path()} already has weights named {name}; choose another name, or pass --replace')
    return others


def _require_repeatable(folder: Path, notes: Mapping, args: argparse.Namespace, any_commit: bool) -> None:
    commit = notes.get('commit')
    if not any_commit and (not commit or commit.endswith('+changes')):
        what = f'that differs from commit {commit.removesuffix("+changes")}' if commit else 'at an unknown commit'
        raise ConfigError(
            f'{folder} was trained by code {what}, which nobody else has; commit and train again, or pass --any-commit '
            'to publish it nevertheless'
        )
    if notes.get('start_iter') and args.resume is None:
        raise ConfigError(
            f'{folder} began at iteration {notes["start_iter"]:,}, from another checkpoint, and its command does not '
            "say so; name the checkpoint that was resumed: --command '... --resume CHECKPOINT'"
        )


def _require_room(name: str, size: int, others: Mapping[str, dict]) -> None:
    together = size + sum(facts['size'] for facts in others.values() if not urlsplit(facts['location']).scheme)
    if size > generated.MEGABYTES_EACH * 10**6 or together > generated.MEGABYTES_TOGETHER * 10**6:
        raise ConfigError(
            f'{name} takes {size / 1e6:.1f} MB, and all shipped weights would take {together / 1e6:.1f}; the limits '
            f'are {generated.MEGABYTES_EACH} and {generated.MEGABYTES_TOGETHER}. Say with --location where else '
            'you will put the file'
        )
