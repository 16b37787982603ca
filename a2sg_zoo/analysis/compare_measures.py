"""Everything that a comparison of runs looks at in one of them, as plain data that is kept and not measured twice."""

import copy
import hashlib
import json
import math
import shutil
import statistics
from pathlib import Path

import torch

from a2sg_zoo.adaptation.policies import Fixed, attach
from a2sg_zoo.analysis.measures import bridge, energy, fisher, hessian, landscape, moments, objective, theory, variation
from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.analysis.report import load_batches, load_network
from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.errors import A2SGError, DataError
from a2sg_zoo.hub.files import write_atomically

SETTINGS = dict(
    samples=128, batch_size=64, seed=0, rho=0.05, vectors=8, steps=20, points=11, span=0.5, directions=3, memory=4e9
)
_TRAINING = ('sgv', 'cv', 'tgc', 'variance')


class _Run:
    """A network with its samples, and what a section needs besides."""

    def __init__(self, cfg, model, settings, scratch):
        self.cfg, self.model, self.settings, self.scratch = cfg, model, settings, scratch
        self.objective = Objective(
            model, load_batches(cfg, model, 'train', settings['samples'], settings['batch_size'], settings['seed'])
        )


def _accuracy(run):
    test = Objective(run.model, load_batches(run.cfg, run.model, 'test', 10**9, run.settings['batch_size']))
    train_loss, train = run.objective.loss_and_accuracy()
    test_loss, right = test.loss_and_accuracy()
    if not math.isfinite(train_loss):
        raise A2SGError(f'its weights are finite, but its loss on the training data is {train_loss}: the run diverged')
    values = dict(train_loss=train_loss, test_loss=test_loss, gap=test_loss - train_loss, accuracy=None)
    undefined = dict(accuracy='the network is no classifier')
    if right is not None:
        values |= dict(accuracy=100 * right, train_accuracy=100 * train, test_error=100 - 100 * right)
        undefined = {}
    return dict(values=values, undefined=undefined, test_samples=test.samples)


def _mean(rows, key):
    found = [row[key] for row in rows if row[key] is not None]
    return statistics.fmean(found) if found else None


def _variation(run):
    found = variation.measure(run.objective)
    rows = [dict(layer=layer, t=t, **stats) for (layer, t), stats in found.items()]
    last = {row['layer']: row for row in rows}
    values = dict(cv=_mean(rows, 'cv'), sgv=_mean(last.values(), 'sgv'), tgc=_mean(rows, 'tgc'))
    silent = [layer for layer in last if not any(row['rate'] for row in rows if row['layer'] == layer)]
    unreached = list(dict.fromkeys(row['layer'] for row in rows if row['cv'] is None))
    notes = [f'no spike: {", ".join(silent)}'] if silent else []
    if unreached:
        notes.append(
            'no gradient in some or all time steps, where CV, SGV and TGC are undefined and left out of the '
            f'means: {", ".join(unreached)}'
        )
    reason = 'no gradient reaches any layer'
    return dict(
        values=values,
        undefined={key: reason for key, value in values.items() if value is None},
        notes=notes,
        layers=rows,
        theory=theory.layers_under_theory(found),
    )


def _fisher(run):
    found = fisher.fisher(run.objective, memory=run.settings['memory'], seed=run.settings['seed'])
    return dict(
        values=dict(fisher=found.eigenvalues[fisher.WHOLE], fisher_trace=found.traces[fisher.WHOLE]),
        eigenvalues=found.eigenvalues,
        traces=found.traces,
        method=found.method,
    )


def _hessian(run):
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


def _common(run):
    """Fisher and Hessian with the same surrogate in every run: what is left of a difference that is not one of the
    surrogates' own scale, which enters both."""
    model = copy.deepcopy(run.model)
    attach(model, Fixed(dict(type='TRI', beta=1.0)))
    same = Objective(model, run.objective.batches)
    found = fisher.fisher(same, memory=run.settings['memory'], seed=run.settings['seed'])
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


def _energy(run):
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


def _landscape(run):
    s, curves = run.settings, []
    axis = torch.linspace(-s['span'], s['span'], s['points'], dtype=torch.float64).tolist()
    for k in range(s['directions']):
        # one file for each choice, so that what another one left behind is not in the way
        file = run.scratch / f'{s["points"]}_{s["span"]:g}_{s["samples"]}_{s["batch_size"]}_{s["seed"]}_{k}.jsonl'
        found = landscape.landscape(run.objective, file, axis, seed=s['seed'] + k)
        curves.append([found.loss[i, 0] for i in range(len(axis))])
    ends = [loss for curve in curves for loss in (curve[0], curve[-1])]
    values = dict(rise=None if None in ends else statistics.fmean(ends) - run.objective.loss())
    undefined = dict(rise='the loss is not finite at the end of a direction') if None in ends else {}
    mean = [None if None in losses else statistics.fmean(losses) for losses in zip(*curves)]
    return dict(values=values, undefined=undefined, x=axis, loss=mean)


def _bridge(run):
    rows = bridge.as_dicts(bridge.bridge(run.objective, run.settings['memory']))
    return dict(values={}, layers=rows)


SECTIONS = dict(
    accuracy=_accuracy,
    variation=_variation,
    fisher=_fisher,
    hessian=_hessian,
    common=_common,
    energy=_energy,
    landscape=_landscape,
    bridge=_bridge,
)
# which settings a section's result depends on, besides the choice of samples
_USED = dict(hessian=('rho', 'vectors', 'steps'), common=('steps',), landscape=('points', 'span', 'directions'))


def _code():
    """A hash of what measures here, so that a change of it measures again."""
    modules = (bridge, energy, fisher, hessian, landscape, moments, objective, theory, variation)
    files = [module.__file__ for module in modules] + [__file__]
    return hashlib.sha256(b'\0'.join(Path(file).read_bytes() for file in files)).hexdigest()[:16]


def _key(section, settings):
    used = {key: settings[key] for key in ('samples', 'batch_size', 'seed', *_USED.get(section, ()))}
    return json.dumps(dict(used, code=_code()), sort_keys=True)


def measure_run(run, what, folder, settings=None):
    """The sections `what` of a run; those that are in `folder` from before are taken from there.

    A section counts as there if checkpoint, config, settings and the code of the measures are the same. Each is
    written as soon as it is known, so that an interruption loses one section at most.

    Args:
        run: a `RunFolder`.
        what: names of `SECTIONS`.
        folder: where results are kept.
        settings: overrides of `SETTINGS`.

    Returns:
        dict(samples=fingerprint of the samples, parameters, sections={name: data}), each section with `values`:
        {measure: number or None}, `undefined`: {measure: why}, and perhaps `notes` and more.

    Raises:
        A2SGError: the checkpoint or the data are unusable.
    """
    settings, folder = SETTINGS | (settings or {}), Path(folder)
    path = folder / f'{run.digest[:20]}.json'
    kept = _kept(path)
    keys = {name: _key(name, settings) for name in what}
    identity = json.dumps({key: settings[key] for key in ('samples', 'batch_size', 'seed')}, sort_keys=True)
    missing = [name for name in what if kept['sections'].get(name, {}).get('key') != keys[name]]
    if missing or identity not in kept['samples']:
        cfg = prepare_config(run.config)
        cfg.work_dir = str(folder / 'log')
        loaded = _Run(cfg, load_network(cfg, run.checkpoint), settings, folder / f'{run.digest[:20]}')
        loaded.scratch.mkdir(parents=True, exist_ok=True)
        kept |= dict(run=str(run.path), parameters=sum(p.numel() for p in loaded.model.parameters()))
        kept['samples'][identity] = _samples(loaded.objective)
        for name in missing:
            kept['sections'][name] = dict(key=keys[name], data=_plain(SECTIONS[name](loaded), f'{run.path}: {name}'))
            write_atomically(json.dumps(kept, allow_nan=False).encode(), path)
        shutil.rmtree(loaded.scratch)
    return dict(
        samples=kept['samples'][identity],
        parameters=kept['parameters'],
        sections={name: kept['sections'][name]['data'] for name in what},
    )


def _kept(path):
    try:
        kept = json.loads(path.read_text())
        if {'samples', 'sections', 'parameters'} <= kept.keys():
            return kept
    except (OSError, ValueError, AttributeError):
        pass  # not there, or cut short: measured again
    return dict(samples={}, sections={}, parameters=None)


def _samples(objective):
    """SHA-256 of the samples alone: runs are comparable if they are measured on the same."""
    digest = hashlib.sha256()
    for inputs, targets in objective.batches:
        digest.update(inputs.detach().cpu().contiguous().numpy().tobytes())
        if isinstance(targets, torch.Tensor):
            digest.update(targets.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _plain(data, where):
    """The data as JSON gives them back, with None for what is not finite and a reason beside it."""
    data.setdefault('undefined', {})
    for key, value in data['values'].items():
        if value is not None and not math.isfinite(value):
            data['values'][key], data['undefined'][key] = None, f'it came out as {value}'
    try:
        return json.loads(json.dumps(data, allow_nan=False))
    except ValueError as error:
        raise A2SGError(
            f'{where} holds a number that is NaN or infinite: the weights are finite, but what follows '
            'from them is not; take an earlier checkpoint'
        ) from error


def measure_training(run):
    """SGV, CV, TGC and the variance of local gradients over a training, means over layers and time steps: from
    adaptation.jsonl. The variance is that at the last time step, as SGV is.

    Returns:
        A section as of `measure_run`: NAME_end of the last record, NAME_training the mean of all, and `curves`.
    """
    try:
        records = variation.with_variance(variation.read_adaptation_log(run.path))
    except DataError as error:
        names = [f'{name}_{when}' for name in _TRAINING for when in ('end', 'training')]
        return dict(values=dict.fromkeys(names), undefined=dict.fromkeys(names, str(error)), curves={})
    values, undefined, curves = {}, {}, {}
    for name in _TRAINING:
        iterations, curve = variation.curve(records, name)
        found = [x for x in curve if x is not None]
        values |= {f'{name}_end': curve[-1], f'{name}_training': statistics.fmean(found) if found else None}
        curves[name] = [iterations, curve]
    for key, value in values.items():
        if value is None:
            undefined[key] = 'no gradient reached any layer' + (' in the last record' if key.endswith('_end') else '')
    return dict(values=values, undefined=undefined, curves=curves)
