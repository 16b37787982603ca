"""What neurons, search and networks cost.

Every row of the table is a ratio of medians. What is compared runs in turns, so that whatever slows the machine slows
both.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from a2sg_zoo.adaptation import Fixed, attach
from a2sg_zoo.benchmark.speed import attached, peers
from a2sg_zoo.benchmark.speed.long_sequences import long_rows
from a2sg_zoo.benchmark.speed.networks import (
    NETWORKS,
    RESNET19,
    SPIKFORMER,
    Setting,
    Step,
    build,
    lif,
    search_steps,
    training_step,
    with_relu,
)
from a2sg_zoo.benchmark.speed.rows import Row, unevenness
from a2sg_zoo.benchmark.speed.timing import interleaved, medians, peak_memory
from a2sg_zoo.neurons.fused import step_by_step

CHECKPOINTED = 'activation checkpointing'
FUSED = 'SpikingJelly, attach(fuse=True)'


def neuron_rows(setting: Setting) -> list[Row]:
    """Measure a LIF layer over (4, 16, 64, 32, 32), forward and backward."""
    x = (2 * torch.randn(4, 16, 64, 32, 32, device=setting.device)).requires_grad_()
    g = torch.randn_like(x)
    layer = lif(setting)
    sources, targets = (torch.randn(3, x.numel(), device=setting.device) for _ in range(2))

    def run(layer):
        x.grad = None
        layer(x).backward(g)

    def not_compiled():
        with step_by_step():
            run(layer)

    actions: dict[str, Any] = {
        'ours': partial(run, layer),
        'ours, not compiled': not_compiled,
        'moving 6 tensors': lambda: targets.copy_(sources),
    }
    if setting.with_peers:
        theirs, reset = peers.spikingjelly_lif().to(setting.device), peers.spikingjelly_reset()
        fused = copy.deepcopy(theirs)
        attach(fused, Fixed(dict(type='TRI')), fuse=True)

        def spikingjelly(node):
            reset(node)
            run(node)

        actions |= {
            'SpikingJelly': partial(spikingjelly, theirs),
            FUSED: partial(spikingjelly, fused),
            'snnTorch': partial(run, peers.snntorch_lif().to(setting.device)),
        }
    runs = interleaved(actions, setting.device, 5 * setting.rounds, label='neuron')
    found = medians(runs)
    on_gpu = setting.device.type == 'cuda'
    reach = {'moving 6 tensors': 1.5 if on_gpu else 2.0, 'SpikingJelly': 1 / 1.3 if on_gpu else None}
    what = 'LIF layer, T = 4, forward and backward'
    rows = [
        Row(what, name, found['ours'] / found[name], reach.get(name), found, runs)
        for name in actions
        if name not in ('ours', FUSED)
    ]
    if setting.with_peers:
        ratio = found[FUSED] / found['SpikingJelly']
        rows.append(Row(f'{what}: {FUSED}', 'SpikingJelly', ratio, 0.3, found, runs))
    return rows


def attached_rows(setting: Setting) -> list[Row]:
    """Measure training steps of networks of SpikingJelly and snnTorch, with their own surrogate and under policies."""
    rows = []
    for library in attached.LIBRARIES if setting.with_peers else ():
        for widths in (attached.NARROW, attached.WIDE):
            what = f'{library}, six layers of {widths[0]} to {widths[-1]} channels'
            runs = interleaved(
                attached.attached_steps(library, widths, setting), setting.device, setting.rounds, label=what
            )
            found = medians(runs)
            rows += [
                Row(f'{what}: {name}', attached.OWN, found[name] / found[attached.OWN], reach, found, runs)
                for name, reach in {
                    'A2SG': 1.15,
                    'A2SG, fused': 1.15,
                    attached.BETWEEN: None,
                    'TRI, fused': None,
                }.items()
                if name in found
            ]
    return rows


def resnet_rows(setting: Setting) -> list[Row]:
    """Measure a training step of ResNet-19: with the searches, compiled as a whole, with activation checkpointing, with
    ReLU in place of neurons, and in SpikingJelly."""
    network = build(RESNET19, setting)
    actions = search_steps(network, setting)
    compiled, checkpointed = copy.deepcopy(network), copy.deepcopy(network)
    compiled.backbone.compile()
    checkpointed.backbone.recompute = True
    actions |= {
        'ReLU': training_step(with_relu(copy.deepcopy(network)), setting),
        'compiled as a whole': training_step(compiled, setting),
        CHECKPOINTED: training_step(checkpointed, setting),
    }
    if setting.with_peers:
        actions['SpikingJelly'] = training_step(peers.SpikingJellyResNet(copy.deepcopy(network)), setting)
        contiguous = peers.SpikingJellyResNet(copy.deepcopy(network)).to(memory_format=torch.contiguous_format)
        actions['SpikingJelly, not channels_last'] = training_step(
            contiguous, setting, images=setting.images().contiguous()
        )
    runs = interleaved(actions, setting.device, setting.rounds, label='ResNet-19')
    found = medians(runs)
    rows = _search_rows('ResNet-19', found, runs)
    rows += [
        Row(f'ResNet-19, training step: {name}', 'fixed beta', found[name] / found['fixed'], None, found, runs)
        for name in ('compiled as a whole', CHECKPOINTED)
    ]
    what, reach = 'ResNet-19, training step, fixed beta', 1.35 if setting.device.type == 'cuda' else 1.25
    rows.append(Row(what, 'ReLU network, batch T * B', found['fixed'] / found['ReLU'], reach, found, runs))
    if setting.with_peers:
        best = min((name for name in found if name.startswith('SpikingJelly')), key=found.get)
        rows.append(Row(what, best, found['fixed'] / found[best], 0.85, found, runs))
    return rows


def spikformer_rows(setting: Setting) -> list[Row]:
    """Measure a training step of Spikformer-4-384 with the searches."""
    actions = search_steps(build(SPIKFORMER, setting), setting)
    runs = interleaved(actions, setting.device, setting.rounds, label='Spikformer-4-384')
    return _search_rows('Spikformer-4-384', medians(runs), runs)


def memory_rows(setting: Setting) -> list[Row]:
    """Measure the peak memory of a training step of ResNet-19."""
    kinds = ['ours', f'ours, {CHECKPOINTED}'] + ['SpikingJelly'] * setting.with_peers
    found = {
        kind: peak_memory(partial(_memory_action, setting, kind), setting.device, setting.threads) for kind in kinds
    }
    what = 'ResNet-19, training step: peak memory'
    rows = [Row(f'{what}, {CHECKPOINTED}', 'ours', found[kinds[1]] / found['ours'], None, found)]
    if setting.with_peers:
        rows.append(Row(what, 'SpikingJelly', found['ours'] / found['SpikingJelly'], 0.7, found))
    return rows


def time_rows(setting: Setting) -> list[Row]:
    """Measure how cost grows with T: what a further time step costs, and how far that is from the mean."""
    rows = []
    steps = (1, 2, 4, 8, 16)
    layer = lif(setting)
    inputs = {T: (2 * torch.randn(T, 16, 64, 32, 32, device=setting.device)).requires_grad_() for T in steps}
    gradients = {T: torch.randn_like(x) for T, x in inputs.items()}

    def neuron(T):
        inputs[T].grad = None
        layer(inputs[T]).backward(gradients[T])

    def network(T):
        config = copy.deepcopy(RESNET19)
        config['backbone'].update(T=T, widths=(32, 64, 128), stem=16)
        config['head']['in_channels'] = 128
        return training_step(build(config, setting), setting)

    for what, actions, rounds in (
        ('LIF layer', {T: partial(neuron, T) for T in steps}, 5 * setting.rounds),
        ('ResNet-19, a quarter as wide', {T: network(T) for T in steps}, setting.rounds),
    ):
        runs = interleaved(actions, setting.device, rounds, label=f'{what}, T')
        found = medians(runs)
        rows.append(
            Row(
                f'{what}: cost of a further time step between T = 1, 2, 4, 8, 16, farthest from the mean',
                'the mean',
                unevenness(found),
                1.1,
                {f'T = {T}': value for T, value in found.items()},
                {f'T = {T}': values for T, values in runs.items()},
            )
        )
    return rows


def where_time_goes(setting: Setting, top: int = 10) -> dict[str, list[tuple[str, float]]]:
    """Profile the training steps of both networks.

    Args:
        setting: device, autocast and batch size.
        top: number of operations to list.

    Returns:
        {step: (operation, its share of the time of the step)} of the longest operations.
    """
    found = {}
    for network, config in NETWORKS.items():
        for name, step in search_steps(build(config, setting), setting).items():
            step()
            with torch.profiler.profile() as profile:
                step()
            on_gpu = setting.device.type == 'cuda'
            times = {
                event.key: event.self_device_time_total if on_gpu else event.self_cpu_time_total
                for event in profile.key_averages()
            }
            total = sum(times.values())
            longest = sorted(times, key=times.get, reverse=True)[:top]
            found[f'{network}, {name}'] = [(key, times[key] / total) for key in longest]
    return found


PARTS: dict[str, Callable[[Setting], list[Row]]] = dict(
    neuron=neuron_rows,
    attached=attached_rows,
    resnet=resnet_rows,
    spikformer=spikformer_rows,
    memory=memory_rows,
    time=time_rows,
    long=long_rows,
)


def _search_rows(network: str, found: dict[str, float], runs: dict[str, Any]) -> list[Row]:
    return [
        Row(
            f'{network}, training step: A2SG in every step, {name}',
            'fixed beta',
            found[name] / found['fixed'],
            reach,
            found,
            runs,
        )
        for name, reach in (('exact search', 1.1), ('TPE of 16 trials', 1.25))
    ]


def _memory_action(setting: Setting, kind: str, device: torch.device) -> tuple[Step, Step]:
    ours = build(RESNET19, setting)
    ours.backbone.recompute = CHECKPOINTED in kind
    network = peers.SpikingJellyResNet(ours) if kind == 'SpikingJelly' else ours
    return training_step(network, setting, batch=2), training_step(network, setting)
