"""The report on one network: tables, JSON and figures of each section, in a folder."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from a2sg_zoo.analysis.figures.style import save, to_tensorboard
from a2sg_zoo.analysis.loading import load_batches, load_network
from a2sg_zoo.analysis.measures.objective import NotApplicable, Objective
from a2sg_zoo.analysis.sections import SECTIONS, Subject
from a2sg_zoo.analysis.settings import SETTINGS
from a2sg_zoo.analysis.tables import as_json, cell, table
from a2sg_zoo.errors import A2SGError, ConfigError
from a2sg_zoo.hub.files import write_atomically

_AT_LEAST = dict(samples=1, batch_size=1, vectors=1, steps=1, points=2, processes=1)


class Report(Subject):
    """Writes the sections of an analysis into a folder.

    A section is SECTION.json, SECTION.md and figures SECTION*.png and .svg. The figures also go into a TensorBoard
    file.

    Args:
        objective: network and samples.
        out: folder of the files.
        run: folder of the run; its `adaptation.jsonl` is read if there is one.
        settings: overrides of `SETTINGS`.

    Attributes:
        loss: loss on the samples.
        accuracy: accuracy on the samples, from 0 to 1; None for a network that is not a classifier.
    """

    def __init__(
        self, objective: Objective, out: str | Path, run: Path | None = None, settings: Mapping[str, Any] | None = None
    ):
        run = run if run and (run / 'adaptation.jsonl').is_file() else None
        super().__init__(objective, Path(out), run, {**SETTINGS, **(settings or {})})
        self.loss, self.accuracy = objective.loss_and_accuracy()
        self.out.mkdir(parents=True, exist_ok=True)

    def write(self, name: str) -> str:
        """Measure and write one section.

        Args:
            name: one of `SECTIONS`.

        Returns:
            The Markdown text of the section.

        Raises:
            ConfigError: there is no section of that name.
            NotApplicable: the section has no meaning for the network or its data; its files say so.
        """
        if name not in SECTIONS:
            raise ConfigError(f'there is no section {name!r}; the choices are {", ".join(SECTIONS)}')
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

    def _save(self, name: str, content: dict, text: str) -> str:
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

    def head(self) -> str:
        """Return the first lines of a section: number of samples and parameters, loss and accuracy."""
        text = f'{self.objective.samples} samples, {self.objective.size:,} parameters. Loss {cell(self.loss)}'
        if self.accuracy is None:
            return f'{text}.'
        text += f', accuracy {self.accuracy:.1%}.'
        if self.guessing:
            text += (
                ' **This is no better than guessing: the network is untrained or diverged, and the results say little '
                'about trained networks.**'
            )
        return text

    @property
    def guessing(self) -> bool | None:
        """Whether the network is no better than one that always predicts the most frequent class of the samples.

        True if its accuracy is at most two standard errors above that of this constant answer. None for a network that
        is not a classifier, and for samples of one class.
        """
        if self.accuracy is None:
            return None
        counts = torch.cat([targets for _, targets in self.objective.batches]).bincount()
        best = float(counts.max()) / self.objective.samples
        if best == 1:
            return None
        return self.accuracy <= best + 2 * math.sqrt(best * (1 - best) / self.objective.samples)


def _check(settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        flag = f'--{name.replace("_", "-")}'
        if name in _AT_LEAST and value < _AT_LEAST[name]:
            raise ConfigError(f'{flag} must be at least {_AT_LEAST[name]}, got {value}')
        if name in ('rho', 'span', 'memory') and not 0 < value < math.inf:
            raise ConfigError(f'{flag} must be positive and finite, got {value:g}')


@contextmanager
def _explain_memory(name: str, device: torch.device) -> Iterator[None]:
    """Within it, running out of memory raises an A2SGError."""
    try:
        yield
    except RuntimeError as error:  # on a CPU, torch raises a plain RuntimeError
        if not isinstance(error, torch.OutOfMemoryError) and 'DefaultCPUAllocator' not in str(error):
            raise
        raise A2SGError(
            f'{name}: out of memory on {device}; use a smaller --batch-size or --memory, or fewer --samples'
        ) from error


def analyse(
    cfg: Config,
    checkpoint: str | Path,
    what: Sequence[str],
    out: str | Path,
    run: Path | None = None,
    split: str = 'train',
    samples: int = 256,
    batch_size: int = 64,
    settings: Mapping[str, Any] | None = None,
    say: Callable[[str], object] = print,
) -> None:
    """Write sections about a checkpoint into a folder.

    A section that has no meaning for the network or its data says so, and the others follow.

    Args:
        cfg: from `prepare_config`.
        checkpoint: file of the weights.
        what: names of `SECTIONS`.
        out: folder of the files.
        run: folder of the run, see `Report`.
        split: 'train' or 'test', see `load_batches`.
        samples: number of samples.
        batch_size: samples in a batch.
        settings: overrides of `SETTINGS`.
        say: called with the text of each section.

    Raises:
        ConfigError: a section is unknown, or a setting has a value that it cannot have.
        NotApplicable: none of the sections applies.
        A2SGError: the loss is not finite, or memory ran out.
    """
    unknown = [name for name in what if name not in SECTIONS]
    if unknown:
        raise ConfigError(f'--what: unknown {", ".join(unknown)}; the choices are {", ".join(SECTIONS)}')
    settings = {**SETTINGS, **(settings or {})}
    _check(dict(samples=samples, batch_size=batch_size, **settings))
    cfg.work_dir = str(Path(out) / 'log')
    model = load_network(cfg, checkpoint)
    objective = Objective(model, load_batches(cfg, model, split, samples, batch_size, settings['seed']))
    if objective.samples < samples:
        say(f'the {split} data set has only {objective.samples} of the {samples} samples asked for; all are used')
    device = objective.like['device']
    with _explain_memory('loss', device):
        report = Report(objective, out, run, settings)
    if not math.isfinite(report.loss):
        raise A2SGError(
            f'{checkpoint}: the weights are finite, but the loss on the {split} data is {report.loss}: the run '
            'diverged; take an earlier checkpoint'
        )
    missing = []
    for name in what:
        with _explain_memory(name, device):
            try:
                say(report.write(name))
            except NotApplicable as error:
                missing.append(f'{name}: not applicable: {error}')
                say(missing[-1])
    if missing and len(missing) == len(what):
        raise NotApplicable('none of the sections applies:\n' + '\n'.join(missing))
