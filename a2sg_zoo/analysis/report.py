"""From a run or a checkpoint to tables and pictures: what `tools/analyze.py` calls."""

import json
import math
from pathlib import Path

import torch
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from a2sg_zoo.adaptation.hook import AdaptationHook
from a2sg_zoo.adaptation.policies import attach
from a2sg_zoo.analysis import plots
from a2sg_zoo.analysis.objective import Objective, check_finite
from a2sg_zoo.analysis.sections import SECTIONS
from a2sg_zoo.analysis.tables import table
from a2sg_zoo.checkpoint import load_into, read_checkpoint, weights_of
from a2sg_zoo.engine.launch import build_runner, check_classes, find_checkpoint
from a2sg_zoo.errors import A2SGError, ConfigError, DataError
from a2sg_zoo.files import write_atomically


def locate(path, config=None, which='last'):
    """(checkpoint, config file, folder of the run or None) for the folder of a run, or a checkpoint.

    Args:
        path: the folder, or a checkpoint file.
        config: config file; by default that which the run left in its folder.
        which: 'best' or 'last' checkpoint of a folder.

    Raises:
        CheckpointError: there is no checkpoint.
        ConfigError: there is no config, or more than one.
    """
    path = Path(path)
    checkpoint = Path(find_checkpoint(path, which)) if path.is_dir() else path
    run = path if path.is_dir() else path.parent
    if config is None:
        found = sorted(run.glob('*.py'))
        if len(found) != 1:
            raise ConfigError(f'{run} holds {"no config" if not found else f"{len(found)} configs"} of a run; name the '
                              'one of the checkpoint with --config')
        config = found[0]
    return checkpoint, Path(config), run if (run / 'adaptation.jsonl').is_file() else None


def load_network(cfg, checkpoint):
    """The network of a config with the weights of a checkpoint, its surrogates those of the config's method, in eval
    mode, on the GPU if there is one.

    Raises:
        CheckpointError: the weights do not fit, or are NaN or infinite.
    """
    cfg.load_from, cfg.resume, cfg.log_level = None, False, 'WARNING'
    cfg.visualizer = dict(type='Visualizer')  # the run's own would log to its folder
    runner = build_runner(cfg)
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
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
        data = loader.collate_fn([loader.dataset[i] for i in chosen[start:start + batch_size]])
        # only in training does MMSegmentation's preprocessor pad the truth to the images
        data = model.data_preprocessor(data, training=segmentation)
        batches.append((data['inputs'], data['data_samples']))
    return batches


class Report:
    """Writes the sections of an analysis: SECTION.json, SECTION.md, and pictures SECTION*.png and .svg.

    Args:
        objective: an `Objective`.
        out: folder.
        run: folder of the run whose `adaptation.jsonl` is read; or None.
        settings: dict(rho, vectors, steps, points, span, dimensions, processes, memory, seed).
        tensorboard: also write the pictures into TensorBoard files in `out`.
    """

    def __init__(self, objective, out, run=None, settings=None, tensorboard=False):
        self.objective, self.out, self.run = objective, Path(out), run
        self.settings = dict(rho=0.05, vectors=16, steps=40, points=21, span=1.0, dimensions=2, processes=1, memory=4e9,
                             seed=0) | (settings or {})
        self.tensorboard = tensorboard
        self.out.mkdir(parents=True, exist_ok=True)

    def write(self, name):
        """Makes one section; returns its Markdown."""
        if name not in SECTIONS:
            raise ConfigError(f'there is no analysis {name!r}; there are {", ".join(SECTIONS)}')
        content, tables, figures = SECTIONS[name](self)
        data = {'samples': self.objective.samples, 'parameters': self.objective.size, **content}
        write_atomically((json.dumps(data, indent=2, allow_nan=False) + '\n').encode(), self.out / f'{name}.json')
        text = f'## {name}\n\n{self.objective.samples} samples, {self.objective.size:,} parameters.\n'
        text += ''.join(f'\n{title}\n\n{table(rows)}' if rows else f'\n{title}\n' for title, rows in tables)
        for stem, figure in figures.items():
            plots.save(figure, self.out / stem)
            text += f'\n![{stem}]({stem}.png)\n'
        write_atomically(text.encode(), self.out / f'{name}.md')
        if self.tensorboard and figures:
            plots.to_tensorboard(figures, self.out)
        return text


def analyse(cfg, checkpoint, what, out, run=None, split='train', samples=256, batch_size=64, settings=None,
            tensorboard=False, say=print):
    """Writes the sections `what` about a checkpoint into `out`.

    Args:
        cfg: from `prepare_config`.
        checkpoint: file.
        what: names of `SECTIONS`.
        out, run, settings, tensorboard: see `Report`.
        split, samples, batch_size: see `load_batches`.
        say: told the sections, as they are done.
    """
    unknown = [name for name in what if name not in SECTIONS]
    if unknown:
        raise ConfigError(f'--what: there is no {", ".join(unknown)}; there are {", ".join(SECTIONS)}')
    if samples < 1 or batch_size < 1:
        raise ConfigError(f'samples and batch size must be at least 1, got {samples} and {batch_size}')
    seed = (settings or {}).get('seed', 0)
    cfg.work_dir = str(Path(out) / 'log')
    model = load_network(cfg, checkpoint)
    objective = Objective(model, load_batches(cfg, model, split, samples, batch_size, seed))
    if objective.samples < samples:
        say(f'the {split} data set has {objective.samples} samples, fewer than the {samples} asked for: all are used')
    loss = objective.loss()
    if not math.isfinite(loss):
        raise A2SGError(f'{checkpoint}: its weights are finite, but its loss on the {split} data is {loss}: the run '
                        'diverged; take an earlier checkpoint')
    report = Report(objective, out, run, settings, tensorboard)
    for name in what:
        try:
            say(report.write(name))
        except torch.OutOfMemoryError as error:
            raise A2SGError(f'{name}: out of memory on {objective.like["device"]}; take a smaller --batch-size'
                            ) from error
