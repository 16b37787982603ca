"""The measurements of one run for a comparison, as plain data in a file, so that nothing is measured twice."""

import copy
import hashlib
import json
import math
import shutil
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from a2sg_zoo.adaptation import Fixed, attach
from a2sg_zoo.analysis.loading import load_batches, load_network
from a2sg_zoo.analysis.measures import bridge, energy, fisher, hessian, landscape, theory, variation
from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.analysis.runs import RunFolder
from a2sg_zoo.analysis.settings import COMPARISON as SETTINGS
from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.errors import A2SGError, ConfigError, DataError
from a2sg_zoo.hub.files import write_atomically

# raise this number when a change of the code changes a number of a section; kept results are then measured again
VERSION = 2
_TRAINING = ('sgv', 'cv', 'tgc', 'variance')


class _Run:
    """The network of a run, its samples, the settings of the measurements, and a folder for temporary files."""

    def __init__(self, cfg: Config, model: nn.Module, settings: Mapping[str, Any], scratch: Path):
        self.cfg, self.model, self.settings, self.scratch = cfg, model, settings, scratch
        self.objective = Objective(
            model, load_batches(cfg, model, 'train', settings['samples'], settings['batch_size'], settings['seed'])
        )


def _accuracy(run: _Run) -> dict:
    test = Objective(run.model, load_batches(run.cfg, run.model, 'test', 10**9, run.settings['batch_size']))
    train_loss, train = run.objective.loss_and_accuracy()
    test_loss, right = test.loss_and_accuracy()
    if not math.isfinite(train_loss):
        raise A2SGError(f'the weights are finite, but the loss on the training data is {train_loss}: the run diverged')
    values: dict[str, float | None] = dict(
        train_loss=train_loss, test_loss=test_loss, gap=test_loss - train_loss, accuracy=None
    )
    undefined = dict(accuracy='the network is not a classifier')
    if right is not None and train is not None:
        values |= dict(accuracy=100 * right, train_accuracy=100 * train, test_error=100 - 100 * right)
        undefined = {}
    return dict(values=values, undefined=undefined, test_samples=test.samples)


def _mean(rows: Iterable[Mapping[str, Any]], key: str) -> float | None:
    found = [row[key] for row in rows if row[key] is not None]
    return statistics.fmean(found) if found else None


def _variation(run: _Run) -> dict:
    found = variation.local_gradient_statistics(run.objective)
    rows: list[dict[str, Any]] = [dict(layer=layer, t=t, **stats) for (layer, t), stats in found.items()]
    last = {row['layer']: row for row in rows}
    values = dict(cv=_mean(rows, 'cv'), sgv=_mean(last.values(), 'sgv'), tgc=_mean(rows, 'tgc'))
    silent = [layer for layer in last if not any(row['rate'] for row in rows if row['layer'] == layer)]
    unreached = list(dict.fromkeys(row['layer'] for row in rows if row['cv'] is None))
    notes = [f'no spike: {", ".join(silent)}'] if silent else []
    if unreached:
        notes.append(
            'no gradient in some or all time steps, where CV, SGV and TGC are undefined and not part of the means: '
            f'{", ".join(unreached)}'
        )
    reason = 'no gradient reaches any layer'
    return dict(
        values=values,
        undefined={key: reason for key, value in values.items() if value is None},
        notes=notes,
        layers=rows,
        theory=theory.layers_under_theory(found),
    )


def _fisher(run: _Run) -> dict:
    found = fisher.fisher_spectrum(run.objective, memory=run.settings['memory'], seed=run.settings['seed'])
    return dict(
        values=dict(fisher=found.eigenvalues[fisher.WHOLE], fisher_trace=found.traces[fisher.WHOLE]),
        eigenvalues=found.eigenvalues,
        traces=found.traces,
        method=found.method,
    )


def _hessian(run: _Run) -> dict:
    s = run.settings
    small = hessian.in_bounded_batches(run.objective, s['memory'])
    spectrum = hessian.hessian_spectrum(small, steps=s['steps'], seed=s['seed'], both=False)
    trace, error = hessian.hessian_trace(small, vectors=s['vectors'], seed=s['seed'])
    sharpness = hessian.sam_sharpness(run.objective, s['rho'])
    undefined = {} if sharpness is not None else dict(sam='the gradient is 0')
    notes = []
    if spectrum.residual_largest is not None and spectrum.residual_largest > 0.05:
        notes.append(
            f'the largest Hessian eigenvalue has a relative residual of {spectrum.residual_largest:.2g} after '
            f'{spectrum.steps} steps'
        )
    return dict(
        values=dict(hessian=spectrum.largest, hessian_trace=trace, sam=sharpness),
        undefined=undefined,
        notes=notes,
        trace_error=error,
        residual=spectrum.residual_largest,
        steps=spectrum.steps,
    )


def _common(run: _Run) -> dict:
    """Fisher and Hessian with the same surrogate in every run, because both depend on the surrogate's scale."""
    model = copy.deepcopy(run.model)
    attach(model, Fixed(dict(type='TRI', beta=1.0)))
    same = Objective(model, run.objective.batches)
    found = fisher.fisher_spectrum(same, memory=run.settings['memory'], seed=run.settings['seed'])
    spectrum = hessian.hessian_spectrum(
        hessian.in_bounded_batches(same, run.settings['memory']),
        steps=run.settings['steps'],
        seed=run.settings['seed'],
        both=False,
    )
    return dict(
        values=dict(fisher_common=found.eigenvalues[fisher.WHOLE], hessian_common=spectrum.largest),
        eigenvalues=found.eigenvalues,
    )


def _energy(run: _Run) -> dict:
    found = energy.measure_energy(run.model, [inputs for inputs, _ in run.objective.batches])
    ann = sum(energy.ann_energy(found).values())
    return dict(
        values=dict(
            energy_nj=found['energy_pj'] / 1e3,
            firing_rate=found['firing_rate'],
            sparsity=found['sparsity'],
            sops=found['sops'],
            macs=found['macs'],
            ann_nj=ann / 1e3,
        ),
        rates=found['rates'],
    )


def _landscape(run: _Run) -> dict:
    s = run.settings
    curves: list[list[float | None]] = []
    axis = torch.linspace(-s['span'], s['span'], s['points'], dtype=torch.float64).tolist()
    for k in range(s['directions']):
        # a file for each choice of settings, because a file takes the points of one landscape only
        file = run.scratch / f'{s["points"]}_{s["span"]:g}_{s["samples"]}_{s["batch_size"]}_{s["seed"]}_{k}.jsonl'
        found = landscape.loss_landscape(run.objective, file, axis, seed=s['seed'] + k)
        curves.append([found.loss[i, 0] for i in range(len(axis))])
    ends = [loss for curve in curves for loss in (curve[0], curve[-1])]
    rise = _mean_or_none(ends)
    values = dict(rise=None if rise is None else rise - run.objective.loss())
    undefined = dict(rise='the loss is not finite at the end of a direction') if rise is None else {}
    return dict(values=values, undefined=undefined, x=axis, loss=[_mean_or_none(losses) for losses in zip(*curves)])


def _mean_or_none(losses: Sequence[float | None]) -> float | None:
    """The mean, or None if one of the losses is None."""
    found = [loss for loss in losses if loss is not None]
    return statistics.fmean(found) if len(found) == len(losses) else None


def _bridge(run: _Run) -> dict:
    rows = bridge.as_dicts(bridge.cv_curvature_bridge(run.objective, run.settings['memory']))
    return dict(values={}, layers=rows)


SECTIONS: dict[str, Callable[[_Run], dict]] = dict(
    accuracy=_accuracy,
    variation=_variation,
    fisher=_fisher,
    hessian=_hessian,
    common=_common,
    energy=_energy,
    landscape=_landscape,
    bridge=_bridge,
)
# the settings that a section's result depends on, besides the choice of samples
_USED: dict[str, tuple[str, ...]] = dict(
    hessian=('rho', 'vectors', 'steps'), common=('steps',), landscape=('points', 'span', 'directions')
)


def _key(section, settings):
    used = {key: settings[key] for key in ('samples', 'batch_size', 'seed', *_USED.get(section, ()))}
    return json.dumps(dict(used, version=VERSION), sort_keys=True)


def measure_run(
    run: RunFolder, what: Sequence[str], folder: str | Path, settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Measure the sections `what` of a run, or read them from `folder` if they were measured before.

    A section is read if checkpoint, config, settings and `VERSION` are the same. Each section is written as soon as it
    is measured, so an interruption loses at most one section.

    Args:
        run: the run.
        what: names of `SECTIONS`.
        folder: folder in which results are kept.
        settings: overrides of `SETTINGS`.

    Returns:
        dict(samples, parameters, sections, not_measured). `samples` is a fingerprint of the samples, and `sections` is
        {name: data}. The data of a section have `values` ({measure: number or None}), `undefined` ({measure: reason}),
        and for some sections `notes` and more. `not_measured` is {name: reason} of the sections that cannot measure
        this network, such as the energy of one with an einsum. They are not kept.

    Raises:
        A2SGError: the checkpoint or the data cannot be used.
    """
    settings, folder = SETTINGS | dict(settings or {}), Path(folder)
    path = folder / f'{run.digest[:20]}.json'
    kept = _kept(path)
    keys = {name: _key(name, settings) for name in what}
    identity = json.dumps({key: settings[key] for key in ('samples', 'batch_size', 'seed')}, sort_keys=True)
    not_measured = {}
    missing = [name for name in what if kept['sections'].get(name, {}).get('key') != keys[name]]
    if missing or identity not in kept['samples']:
        cfg = prepare_config(run.config)
        cfg.work_dir = str(folder / 'log')
        loaded = _Run(cfg, load_network(cfg, run.checkpoint), settings, folder / f'{run.digest[:20]}')
        loaded.scratch.mkdir(parents=True, exist_ok=True)
        kept |= dict(run=str(run.path), parameters=sum(p.numel() for p in loaded.model.parameters()))
        kept['samples'][identity] = _samples(loaded.objective)
        for name in missing:
            try:
                data = _plain(SECTIONS[name](loaded), f'{run.path}: {name}')
            except ConfigError as error:
                not_measured[name] = str(error)
                continue
            kept['sections'][name] = dict(key=keys[name], data=data)
            write_atomically(json.dumps(kept, allow_nan=False).encode(), path)
        shutil.rmtree(loaded.scratch)
    return dict(
        samples=kept['samples'][identity],
        parameters=kept['parameters'],
        sections={name: kept['sections'][name]['data'] for name in what if name not in not_measured},
        not_measured=not_measured,
    )


def _kept(path):
    try:
        kept = json.loads(path.read_text())
        if {'samples', 'sections', 'parameters'} <= kept.keys():
            return kept
    except (OSError, ValueError, AttributeError):
        pass  # a missing or incomplete file: everything is measured again
    return dict(samples={}, sections={}, parameters=None)


def _samples(objective):
    """SHA-256 of the samples without the network: runs can be compared if they are measured on the same samples."""
    digest = hashlib.sha256()
    for inputs, targets in objective.batches:
        digest.update(inputs.detach().cpu().contiguous().numpy().tobytes())
        if isinstance(targets, torch.Tensor):
            digest.update(targets.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _plain(data, where):
    """The data as they come back from JSON; a value that is not finite becomes None, with a reason."""
    data.setdefault('undefined', {})
    for key, value in data['values'].items():
        if value is not None and not math.isfinite(value):
            data['values'][key], data['undefined'][key] = None, f'the result is {value}'
    try:
        return json.loads(json.dumps(data, allow_nan=False))
    except ValueError as error:
        raise A2SGError(
            f'{where}: a result is NaN or infinite although the weights are finite; take an earlier checkpoint'
        ) from error


def measure_training(run: RunFolder) -> dict[str, Any]:
    """Read SGV, CV, TGC and the variance of local gradients over a training from the run's adaptation.jsonl.

    They are means over layers and time steps. The variance and SGV are those of the last time step.

    Returns:
        A section like those of `measure_run`. NAME_end is the value of the last record, NAME_training the mean of all
        records, and `curves` is {NAME: [iterations, values]}.
    """
    try:
        records = variation.with_variance(variation.read_adaptation_log(run.path))
    except DataError as error:
        names = [f'{name}_{when}' for name in _TRAINING for when in ('end', 'training')]
        return dict(values=dict.fromkeys(names), undefined=dict.fromkeys(names, str(error)), curves={})
    values: dict[str, float | None] = {}
    undefined: dict[str, str] = {}
    curves: dict[str, list] = {}
    for name in _TRAINING:
        iterations, curve = variation.curve(records, name)
        found = [x for x in curve if x is not None]
        values |= {f'{name}_end': curve[-1], f'{name}_training': statistics.fmean(found) if found else None}
        curves[name] = [iterations, curve]
    for key, value in values.items():
        if value is None:
            undefined[key] = 'no gradient reached any layer' + (' in the last record' if key.endswith('_end') else '')
    return dict(values=values, undefined=undefined, curves=curves)
