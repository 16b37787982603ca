"""The sections of a report: one function for each, which measures and returns data, tables and figures."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from a2sg_zoo.analysis.figures.energy import energy_figure
from a2sg_zoo.analysis.figures.landscape import landscape_figure
from a2sg_zoo.analysis.figures.layers import bridge_figure, layer_figure, time_figure
from a2sg_zoo.analysis.figures.spikes import feature_figure, raster_figure
from a2sg_zoo.analysis.figures.theory import growth_figure, theory_figure
from a2sg_zoo.analysis.figures.training import beta_figure, method_figure
from a2sg_zoo.analysis.measures import variation
from a2sg_zoo.analysis.measures.bridge import as_dicts, cv_curvature_bridge
from a2sg_zoo.analysis.measures.energy import PJ_MAC, PJ_SOP, ann_energy, measure_energy
from a2sg_zoo.analysis.measures.fisher import fisher_spectrum
from a2sg_zoo.analysis.measures.growth import hessian_growth
from a2sg_zoo.analysis.measures.hessian import (
    KINDS,
    Hessian,
    hessian_spectrum,
    hessian_trace,
    in_bounded_batches,
    sam_sharpness,
)
from a2sg_zoo.analysis.measures.landscape import loss_landscape
from a2sg_zoo.analysis.measures.objective import NotApplicable, Objective
from a2sg_zoo.analysis.measures.spikes import record_spikes
from a2sg_zoo.analysis.measures.theory import layers_under_theory, theorem_4_1, theorem_4_2
from a2sg_zoo.analysis.tables import cell
from a2sg_zoo.errors import A2SGError, ConfigError
from a2sg_zoo.neurons import named_neurons
from a2sg_zoo.surrogates import BOX, TRI

# (plain data, [(title, rows)], {stem of the file: figure})
Section = tuple[dict[str, Any], list[tuple[str, list[dict]]], dict[str, Figure]]

_FISHER_CHANGE = 1e-4  # relative change of an eigenvalue below which a power iteration has converged
_RESIDUAL = 0.05  # relative residual of an eigenvalue of the Hessian above which the report warns


@dataclass
class Subject:
    """What a section is about.

    Attributes:
        objective: network and samples.
        out: folder of the files.
        run: folder of the run that trained the network, if its `adaptation.jsonl` is there.
        settings: a value for each of `SETTINGS`.
    """

    objective: Objective
    out: Path
    run: Path | None
    settings: dict[str, Any]


def _fisher(subject: Subject) -> Section:
    result = fisher_spectrum(
        subject.objective, tolerance=_FISHER_CHANGE, memory=subject.settings['memory'], seed=subject.settings['seed']
    )
    rows = [
        dict(layer=name, largest_eigenvalue=value, trace=result.traces[name])
        for name, value in result.eigenvalues.items()
    ]
    method = 'the Gram matrix' if result.method == 'gram' else 'power iteration'
    title = (
        f'Empirical Fisher, by {method}, {result.passes} passes over the samples. 0 means that no gradient reaches the '
        'layer.'
    )
    if result.change > _FISHER_CHANGE:
        title += (
            f' **Not converged: an eigenvalue changed by {result.change:.2g} of its value in the last pass, so it may '
            'be larger than shown. With more --memory the exact Gram matrix is used.**'
        )
    return (
        asdict(result),
        [(title, rows)],
        dict(fisher=layer_figure({'Fisher': result.eigenvalues}, 'largest eigenvalue of the Fisher')),
    )


def _hessian(subject: Subject) -> Section:
    s = subject.settings
    rows: list[dict[str, Any]] = []
    objective = in_bounded_batches(subject.objective, s['memory'])
    for kind in KINDS:
        found = hessian_spectrum(objective, kind, steps=s['steps'], seed=s['seed'])
        trace, error = hessian_trace(objective, kind, s['vectors'], s['seed'])
        rows.append(
            dict(
                kind=kind,
                **asdict(found),
                trace=trace,
                trace_error=error,
                asymmetry=Hessian(objective, kind).asymmetry(seed=s['seed']),
            )
        )
    sharpness = sam_sharpness(objective, s['rho'])
    rough = [
        f'{row["kind"]}: {end}, residual {row[f"residual_{end}"]:.2g}'
        for row in rows
        for end in ('largest', 'smallest')
        if (row[f'residual_{end}'] or 0) > _RESIDUAL
    ]
    titles = [
        (
            'Eigenvalues of the symmetric part (H + H^T) / 2. The two kinds are defined in '
            '`a2sg_zoo.analysis.measures.hessian`. Residuals are relative, `trace_error` is a standard error, and '
            '`asymmetry` is |H - H^T| / |H + H^T|.',
            rows,
        ),
        (f'SAM sharpness, rho = {s["rho"]:g}: {cell(sharpness)}; loss {cell(objective.loss())}', []),
    ]
    if rough:
        titles.insert(1, (f'**Not converged after {s["steps"]} steps: {"; ".join(rough)}. Use more --steps.**', []))
    return dict(kinds=rows, sam_sharpness=sharpness, rho=s['rho']), titles, {}


def _landscape(subject: Subject) -> Section:
    s = subject.settings
    axis = torch.linspace(-s['span'], s['span'], s['points'], dtype=torch.float64).tolist()
    # another checkpoint or another grid in the same folder gets another file
    stem = '_'.join([subject.objective.fingerprint()[:8], *(f'{s[key]:g}' for key in ('points', 'span', 'seed'))])
    found = loss_landscape(
        subject.objective,
        subject.out / f'landscape_{s["dimensions"]}d_{stem}.jsonl',
        axis,
        axis if s['dimensions'] == 2 else (0.0,),
        s['seed'],
        s['processes'],
    )
    losses = [x for x in found.loss.values() if x is not None]
    title = (
        f'{len(found.loss)} points, {len(found.loss) - len(losses)} of them without a finite loss. The loss is '
        f'{cell(subject.objective.loss())} at the centre, and from {cell(min(losses, default=None))} to '
        f'{cell(max(losses, default=None))} on the grid.'
    )
    data = dict(
        x=found.x,
        y=found.y,
        points=[dict(i=i, j=j, loss=loss, accuracy=found.accuracy[i, j]) for (i, j), loss in found.loss.items()],
    )
    return data, [(title, [])], {f'landscape_{s["dimensions"]}d': landscape_figure(found)}


def _membranes(subject: Subject) -> dict[tuple[str, int], dict]:
    """The result of `local_gradient_statistics`."""
    model = subject.objective.model
    if not named_neurons(model):
        raise NotApplicable(f'{type(getattr(model, "backbone", model)).__name__} has no neurons with a surrogate')
    return variation.local_gradient_statistics(subject.objective)


def _variation(subject: Subject) -> Section:
    found = _membranes(subject)
    keys = ('beta', 'rate', 'in_window', 'mean', 'std', 'sgv', 'cv', 'tgc', 'cv_asy', 'cv_tri', 'cv_box')
    rows = [dict(layer=layer, t=t, **{key: stats[key] for key in keys}) for (layer, t), stats in found.items()]
    figures, data = {}, dict(layers=rows)
    if max(t for _, t in found) > 1:
        names = dict(tgc='TGC: cosine of delta[t] and delta[t+1]', sgv='SGV', beta='width beta')
        for statistic, name in names.items():
            over_time: dict[str, list[float | None]] = {}
            for row in rows:
                over_time.setdefault(row['layer'], []).append(row[statistic])
            figures[f'variation_{statistic}_over_time'] = time_figure(over_time, name)
    if subject.run:
        records = variation.read_adaptation_log(subject.run)
        for statistic in ('sgv', 'tgc', 'cv', 'rate'):
            curve = variation.curve(records, statistic)
            if any(value is not None for value in curve[1]):
                figures[f'variation_{statistic}'] = method_figure({subject.run.name: [curve]}, statistic)
        figures['variation_beta'] = beta_figure(records)
        data['training'] = records
    title = 'Local gradients on the data set. Undefined: there is no gradient, or no element in the window.'
    return data, [(title, rows)], figures


def _bridge(subject: Subject) -> Section:
    rows = cv_curvature_bridge(subject.objective, subject.settings['memory'])
    if not rows:
        raise NotApplicable('the network has no linear or convolutional layers that are trained')
    data = as_dicts(rows)
    title = (
        '`bound` is the claim with one constant, relative to Lambda, for which it holds in every layer. `triangle` is '
        'a bound without a constant.'
    )
    return dict(layers=data), [(title, data)], dict(bridge=bridge_figure(rows))


def _theory(subject: Subject) -> Section:
    rows = layers_under_theory(_membranes(subject))
    flat = [
        {
            **{k: v for k, v in row.items() if k != 'cv_asy'},
            **{f'cv_asy (h = {h:g})': cv for h, cv in row['cv_asy'].items()},
        }
        for row in rows
    ]
    one, two = theorem_4_1(seed=subject.settings['seed']), theorem_4_2(seed=subject.settings['seed'])
    tables = [
        ('Layers, with a Gaussian fitted to their potentials. `holds` means L kappa > sigma².', flat),
        ('Theorem 4.2: share of random cases with CV_asy < CV_sym', two),
        ('Theorem 4.1: share of random cases with CV_tri < CV of the shape', one),
    ]
    return dict(layers=flat, theorem_4_1=one, theorem_4_2=two), tables, dict(theory=theory_figure(rows))


def _growth(subject: Subject) -> Section:
    parts = list(zip(*subject.objective.batches))
    if not isinstance(parts[1][0], torch.Tensor):
        raise NotApplicable('it needs labelled images, because its networks are multilayer perceptrons that classify')
    inputs, targets = map(torch.cat, parts)
    x = inputs.mean(1) if inputs.dim() == 5 else inputs  # the mean of event frames over time
    # 8 x 8 pixels keep the perceptrons small
    if x.dim() == 4 and x.shape[-1] > 8:
        x = torch.nn.functional.adaptive_avg_pool2d(x, 8)
    x = x.flatten(1)
    x = (x - x.mean(0)).cpu()
    try:
        found = {
            shape.__name__: hessian_growth(shape, x, targets.cpu(), seed=subject.settings['seed'])
            for shape in (TRI, BOX)
        }
    except A2SGError as error:
        raise NotApplicable(f'small perceptrons on these samples have a Hessian of 0: {error}') from error
    rows = [
        dict(shape=name, beta=beta, snn=value, relu=growth.relu)
        for name, growth in found.items()
        for beta, value in zip(growth.betas, growth.snn)
    ]
    title = 'Spectral norm of the Hessian of small perceptrons; fitted exponents: ' + ', '.join(
        f'{name} {growth.exponent:.2f}' for name, growth in found.items()
    )
    return (
        {name: asdict(growth) for name, growth in found.items()},
        [(title, rows)],
        dict(growth=growth_figure(found)),
    )


def _energy(subject: Subject) -> Section:
    try:
        found = measure_energy(subject.objective.model, [inputs for inputs, _ in subject.objective.batches])
    except ConfigError as error:  # the operations of the network cannot be counted
        raise NotApplicable(str(error)) from error
    ann = ann_energy(found)
    layers = [
        dict(
            layer=x['name'],
            kind=x['kind'],
            input=x['input'],
            MACs=round(x['macs']),
            steps=x['steps'],
            spikes_per_input='-' if x['input'] == 'real' else x['input_rate'],
            SOPs=round(x['sops']),
            energy_nJ=x['energy_pj'] / 1e3,
            ANN_nJ=ann[x['name']] / 1e3,
        )
        for x in found['layers']
    ]
    neurons = [dict(layer=name, firing_rate=rate, silent=rate == 0) for name, rate in found['rates'].items()]
    dense = sum(ann.values())
    whole = [
        dict(quantity='firing rate, spikes of a neuron in a time step', value=found['firing_rate']),
        dict(quantity='sparsity, share of zeros', value=found['sparsity']),
        dict(quantity='time steps T', value=found['T']),
        dict(quantity=f'MACs, at {PJ_MAC} pJ', value=f'{found["macs"]:,.0f}'),
        dict(quantity=f'SOPs, at {PJ_SOP} pJ', value=f'{found["sops"]:,.0f}'),
        dict(quantity='energy of an image, nJ', value=found['energy_pj'] / 1e3),
        dict(quantity='the same network as an ANN, nJ', value=dense / 1e3),
        dict(quantity='ANN / SNN', value=dense / found['energy_pj'] if found['energy_pj'] else None),
    ]
    tables = [
        (
            f'Means over images. E = {PJ_MAC} pJ x MACs (layers with real-valued input) + {PJ_SOP} pJ x SOPs (layers '
            'with spikes as input). SOPs = MACs of a time step x spikes of an input value in a time step x T. The '
            'energies are those of 32-bit arithmetic at 45 nm (Horowitz, ISSCC 2014), without memory and neurons. The '
            'ANN runs every layer once, with MACs.',
            whole,
        ),
        ('Layers with weights, and matrix products of attention. MACs are those of one time step.', layers),
        ('Neurons', neurons),
    ]
    data = {**found, 'pj_mac': PJ_MAC, 'pj_sop': PJ_SOP, 'ann_energy_pj': dense}
    return data, tables, dict(energy=energy_figure(found))


def _rasters(subject: Subject) -> Section:
    inputs, _ = next(subject.objective.single_samples())
    with torch.no_grad(), record_spikes(subject.objective.model) as found:
        subject.objective.model(inputs)
    if not found:
        raise NotApplicable('the network has no spiking neurons')
    spikes = {layer: s[:, 0].float().cpu() for layer, s in found.items()}
    rows = [
        dict(
            layer=layer,
            neurons=s[0].numel(),
            spikes=int(s.count_nonzero()),
            rate=float(s.mean()),
            **{f't = {t}': float(step.mean()) for t, step in enumerate(s, 1)},
        )
        for layer, s in spikes.items()
    ]
    figures = dict(rasters=raster_figure({layer: s.flatten(1) for layer, s in spikes.items()}))
    maps = {layer: s for layer, s in spikes.items() if s.dim() == 4}
    if maps:
        figures['rasters_maps'] = feature_figure(maps)
    title = 'Spikes of one sample: share of neurons that fire, over all time steps and in each'
    return dict(layers=rows), [(title, rows)], figures


SECTIONS: dict[str, Callable[[Subject], Section]] = dict(
    variation=_variation,
    fisher=_fisher,
    hessian=_hessian,
    landscape=_landscape,
    bridge=_bridge,
    theory=_theory,
    growth=_growth,
    energy=_energy,
    rasters=_rasters,
)
