"""From a run or a checkpoint to tables and pictures: what `tools/analyze.py` calls."""

import math
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.runner import Runner

from a2sg_zoo.adaptation import attach
from a2sg_zoo.analysis.figures.style import save, to_tensorboard
from a2sg_zoo.analysis.measures.objective import NotApplicable, Objective, check_finite
from a2sg_zoo.analysis.sections import SECTIONS
from a2sg_zoo.analysis.settings import SETTINGS
from a2sg_zoo.analysis.tables import as_json, cell, table
from a2sg_zoo.engine.build import build_runner
from a2sg_zoo.engine.hooks.adaptation import AdaptationHook
from a2sg_zoo.engine.loaders import check_classes
from a2sg_zoo.engine.resume import find_checkpoint
from a2sg_zoo.errors import A2SGError, CheckpointError, ConfigError, DataError
from a2sg_zoo.hub.checkpoint import load_into, read_checkpoint, weights_of
from a2sg_zoo.hub.files import write_atomically
from a2sg_zoo.hub.index import ZOO, find
from a2sg_zoo.hub.pretrained import locate
from a2sg_zoo.utils.models import unwrap_model

_AT_LEAST = dict(samples=1, batch_size=1, vectors=1, steps=1, points=2, processes=1)


def find_run(path, config=None, which='last'):
    """(checkpoint, config file, folder) of the folder of a run, a checkpoint in it, or a name in the zoo.

    The folder is that of the run; for weights of the zoo, one apart from a run of that name in work_dirs.

    Args:
        path: the folder, a checkpoint file, or the name.
        config: config file; by default that which the run left in its folder, or of which the zoo tells.
        which: 'best' or 'last' checkpoint of a folder.

    Raises:
        CheckpointError: there is no such path, or no checkpoint in the folder.
        ConfigError: there is no config, or more than one.
    """
    given = Path(path).expanduser()
    folder = given.is_dir()
    checkpoint = Path(find_checkpoint(given, which)) if folder else locate(path)
    if not folder and checkpoint != given:
        name = str(path).removeprefix(ZOO)
        return checkpoint, Path(config or find(name)['config']), Path('work_dirs', 'zoo', name)
    if not checkpoint.exists():
        raise CheckpointError(f'{path} does not exist; name the folder of a run, a checkpoint or weights of the zoo')
    run = given if folder else checkpoint.parent
    if config is None:
        # a config is run, so a file beside any checkpoint will not do: a run names its last one there
        found = sorted(run.glob('*.py')) if folder or (run / 'last_checkpoint').is_file() else []
        if len(found) != 1:
            raise ConfigError(
                f'{run} holds {"no config" if not found else f"{len(found)} configs"} of a run; name the '
                'one of the checkpoint with --config'
            )
        config = found[0]
    return checkpoint, Path(config), run


def load_network(cfg, checkpoint):
    """The network of a config with the weights of a checkpoint, its surrogates those of the config's method, in eval
    mode, on the GPU if there is one.

    Raises:
        CheckpointError: the weights do not fit, or are NaN or infinite.
    """
    cfg.load_from, cfg.resume, cfg.log_level = None, False, 'WARNING'
    cfg.visualizer = dict(type='Visualizer')  # the run's own would log to its folder
    runner = build_runner(cfg)
    model = unwrap_model(runner.model)
    for hook in runner.hooks:
        if isinstance(hook, AdaptationHook):
            attach(model, hook.policy)
    load_into(model, weights_of(read_checkpoint(checkpoint), checkpoint), checkpoint)
    check_finite(model)
    return model.eval()


def load_batches(cfg, model, split='train', samples=256, batch_size=64, seed=0):
    """[(inputs, targets)] of a random choice of samples, the same for the same seed.

    Classification data are taken without augmentation, with the test's pipeline.

    Args:
        cfg: a run's config.
        model: its network.
        split: 'train' or 'test'.
        samples: number of samples; all there are, if there are fewer.
        batch_size: of the passes.
        seed: of the choice.
    """
    settings = {**cfg[f'{split}_dataloader'], 'num_workers': 0, 'persistent_workers': False}
    segmentation = 'decode_head' in cfg.model
    if not segmentation:
        settings['dataset'] = {**settings['dataset'], 'pipeline': cfg.test_dataloader.dataset.get('pipeline', [])}
    loader = Runner.build_dataloader(settings, seed=seed)
    check_classes(model, loader.dataset, f'the {split} data')
    if not len(loader.dataset):
        raise DataError(f'the {split} data set is empty')
    torch.manual_seed(seed)
    chosen = torch.randperm(len(loader.dataset), generator=torch.Generator().manual_seed(seed))[:samples].tolist()
    batches = []
    for start in range(0, len(chosen), batch_size):
        data = loader.collate_fn([loader.dataset[i] for i in chosen[start : start + batch_size]])
        # only in training does MMSegmentation's preprocessor pad the truth to the images
        data = model.data_preprocessor(data, training=segmentation)
        batches.append((data['inputs'], data['data_samples']))
    return batches


class Report:
    """Writes the sections of an analysis: SECTION.json, SECTION.md, and pictures SECTION*.png and .svg, which also go
    into a TensorBoard file.

    Args:
        objective: an `Objective`.
        out: folder.
        run: folder of the run, whose `adaptation.jsonl` is read if it has one; or None.
        settings: overrides of `SETTINGS`.

    Attributes:
        loss: on the samples.
        accuracy: the same; None for a network that is no classifier.
    """

    def __init__(self, objective, out, run=None, settings=None):
        self.objective, self.out = objective, Path(out)
        self.run = run if run and (run / 'adaptation.jsonl').is_file() else None
        self.settings = SETTINGS | (settings or {})
        self.loss, self.accuracy = objective.loss_and_accuracy()
        self.out.mkdir(parents=True, exist_ok=True)

    def write(self, name):
        """Makes one section; returns its Markdown.

        Raises:
            NotApplicable: the network or its data have no use for it; that is then what its files say.
        """
        if name not in SECTIONS:
            raise ConfigError(f'there is no analysis {name!r}; there are {", ".join(SECTIONS)}')
        try:
            content, tables, figures = SECTIONS[name](self)
        except NotApplicable as error:
            self._save(name, dict(not_applicable=str(error)), f'Not applicable: {error}.\n')
            raise
        text = '\n'.join(f'{title}\n\n{table(rows)}' if rows else f'{title}\n' for title, rows in tables)
        for stem, figure in figures.items():
            save(figure, self.out / stem)
            text += f'\n![{stem}]({stem}.png)\n'
        if figures:
            to_tensorboard(figures, self.out)
        return self._save(name, content, text)

    def _save(self, name, content, text):
        data = (
            dict(
                samples=self.objective.samples,
                parameters=self.objective.size,
                loss=self.loss,
                accuracy=self.accuracy,
                guessing=self.guessing,
            )
            | content
        )
        text = f'## {name}\n\n{self.head()}\n\n{text}'
        write_atomically(as_json(data).encode(), self.out / f'{name}.json')
        write_atomically(text.encode(), self.out / f'{name}.md')
        return text

    def head(self):
        """What was measured on, and how good the network is there."""
        text = f'{self.objective.samples} samples, {self.objective.size:,} parameters. Loss {cell(self.loss)}'
        if self.accuracy is None:
            return f'{text}.'
        text += f', accuracy {self.accuracy:.1%}.'
        if self.guessing:
            text += (
                ' **At the level of guessing: an untrained or diverged network; what follows says little about '
                'trained ones.**'
            )
        return text

    @property
    def guessing(self):
        """True for an accuracy within two standard errors of, or below, that of always answering the samples' most
        frequent class; None where that cannot be asked: no classifier, or samples of one class."""
        if self.accuracy is None:
            return None
        counts = torch.cat([targets for _, targets in self.objective.batches]).bincount()
        best = float(counts.max()) / self.objective.samples
        if best == 1:
            return None
        return self.accuracy <= best + 2 * math.sqrt(best * (1 - best) / self.objective.samples)


def _check(settings):
    for name, value in settings.items():
        flag = f'--{name.replace("_", "-")}'
        if name in _AT_LEAST and value < _AT_LEAST[name]:
            raise ConfigError(f'{flag} must be at least {_AT_LEAST[name]}, got {value}')
        if name in ('rho', 'span', 'memory') and not 0 < value < math.inf:
            raise ConfigError(f'{flag} must be positive and finite, got {value:g}')


@contextmanager
def _memory_for_people(name, device):
    """Makes an A2SGError of running out of memory."""
    try:
        yield
    except RuntimeError as error:  # on a CPU it has no class of its own
        if not isinstance(error, torch.OutOfMemoryError) and 'DefaultCPUAllocator' not in str(error):
            raise
        raise A2SGError(
            f'{name}: out of memory on {device}; take a smaller --batch-size or --memory, or fewer --samples'
        ) from error


def analyse(cfg, checkpoint, what, out, run=None, split='train', samples=256, batch_size=64, settings=None, say=print):
    """Writes the sections `what` about a checkpoint into `out`. One that does not apply to the network or its data says
    so, and the others follow.

    Args:
        cfg: from `prepare_config`.
        checkpoint: file.
        what: names of `SECTIONS`.
        out, run, settings: see `Report`.
        split, samples, batch_size: see `load_batches`.
        say: told the sections, as they are done.

    Raises:
        ConfigError: a section or setting is not one.
        NotApplicable: none of the sections applies.
        A2SGError: the loss is not finite, or memory ran out.
    """
    unknown = [name for name in what if name not in SECTIONS]
    if unknown:
        raise ConfigError(f'--what: there is no {", ".join(unknown)}; there are {", ".join(SECTIONS)}')
    settings = SETTINGS | (settings or {})
    _check(dict(samples=samples, batch_size=batch_size, **settings))
    cfg.work_dir = str(Path(out) / 'log')
    model = load_network(cfg, checkpoint)
    objective = Objective(model, load_batches(cfg, model, split, samples, batch_size, settings['seed']))
    if objective.samples < samples:
        say(f'the {split} data set has {objective.samples} samples, fewer than the {samples} asked for: all are used')
    device = objective.like['device']
    with _memory_for_people('loss', device):
        report = Report(objective, out, run, settings)
    if not math.isfinite(report.loss):
        raise A2SGError(
            f'{checkpoint}: its weights are finite, but its loss on the {split} data is {report.loss}: the '
            'run diverged; take an earlier checkpoint'
        )
    missing = []
    for name in what:
        with _memory_for_people(name, device):
            try:
                say(report.write(name))
            except NotApplicable as error:
                missing.append(f'{name}: not applicable: {error}')
                say(missing[-1])
    if missing and len(missing) == len(what):
        raise NotApplicable('nothing that was asked for applies:\n' + '\n'.join(missing))
