"""What neurons, search and networks cost: the rows of `tools/benchmark_speed.py`.

Every row is a ratio of medians of interleaved runs, with what it is compared with in the same run.
"""

import copy
import math
import statistics
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from a2sg_zoo.adaptation import A2SG, Fixed, attach
from a2sg_zoo.benchmark.speed import peers
from a2sg_zoo.benchmark.speed.timing import interleaved, medians, peak_memory
from a2sg_zoo.neurons import LIF, Neuron
from a2sg_zoo.neurons.fused import step_by_step
from a2sg_zoo.registry import MODELS

_LIF = dict(type='LIF', tau=2.0, decay_input=False)
# configs/_base_/models/{resnet19,spikformer_4_384}_cifar.py: the package is to work without the configs beside it
RESNET19 = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='SpikingResNet', depths=(3, 3, 2), widths=(128, 256, 512), tdbn=True, T=4, neuron=_LIF, time='keep'
    ),
    head=dict(type='LinearHead', in_channels=512, hidden=256, num_classes=10, neuron=_LIF),
)
SPIKFORMER = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='Spikformer',
        form='cifar',
        embed_dims=384,
        depth=4,
        num_heads=12,
        T=4,
        neuron=dict(type='LIF', tau=2.0),
        time='keep',
    ),
    head=dict(type='LinearHead', in_channels=384, num_classes=10),
)


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        what, against: what is compared.
        ratio: of the medians.
        reach: what the ratio should be at most; None where nothing was set.
        medians: {name: seconds, or bytes} of all that took part.
        runs: {name: seconds of each round}; empty for memory.
    """

    what: str
    against: str
    ratio: float
    reach: float | None
    medians: dict
    runs: dict = {}


class Setting(NamedTuple):
    """Where and how rows are measured: device, dtype of autocast or None, images a batch, rounds, CPU threads, and
    whether peers take part."""

    device: torch.device
    amp: torch.dtype | None
    batch: int
    rounds: int
    threads: int
    with_peers: bool

    def images(self, batch=None):
        return torch.randn(batch or self.batch, 3, 32, 32, device=self.device).to(memory_format=torch.channels_last)


def neuron_rows(setting):
    """A LIF layer over (4, 16, 64, 32, 32), forward and backward."""
    x = (2 * torch.randn(4, 16, 64, 32, 32, device=setting.device)).requires_grad_()
    g = torch.randn_like(x)
    layer = LIF(tau=2.0, decay_input=False).to(setting.device)
    sources, targets = (torch.randn(3, x.numel(), device=setting.device) for _ in range(2))

    def run(layer):
        x.grad = None
        layer(x).backward(g)

    def not_compiled():
        with step_by_step():
            run(layer)

    actions = {
        'ours': partial(run, layer),
        'ours, not compiled': not_compiled,
        'moving 6 tensors': lambda: targets.copy_(sources),
    }
    if setting.with_peers:
        theirs, function = peers.spikingjelly_lif().to(setting.device), _reset_function()

        def jelly():
            function(theirs)
            run(theirs)

        actions |= {'SpikingJelly': jelly, 'snnTorch': partial(run, peers.snntorch_lif())}
    runs = interleaved(actions, setting.device, 5 * setting.rounds, label='neuron')
    found = medians(runs)
    reach = {
        'moving 6 tensors': 1.5 if setting.device.type == 'cuda' else 2.0,
        'SpikingJelly': 1 / 1.3 if setting.device.type == 'cuda' else None,
    }
    return [
        Row('LIF layer, T = 4, forward and backward', name, found['ours'] / found[name], reach.get(name), found, runs)
        for name in actions
        if name != 'ours'
    ]


def resnet_rows(setting):
    """A training step of ResNet-19: under the searches, compiled, with blocks that run again, beside its ReLU twin and
    beside SpikingJelly's."""
    network = _build(RESNET19, setting)
    actions = _searches(network, setting)
    relu, compiled, repeating = _with_relu(copy.deepcopy(network)), copy.deepcopy(network), copy.deepcopy(network)
    compiled.backbone.compile()
    repeating.backbone.recompute = True
    actions |= {
        'ReLU': _training_step(relu, setting),
        'compiled as a whole': _training_step(compiled, setting),
        'blocks run again': _training_step(repeating, setting),
    }
    if setting.with_peers:
        actions['SpikingJelly'] = _training_step(peers.SpikingJellyResNet(copy.deepcopy(network)), setting)
        packed = peers.SpikingJellyResNet(copy.deepcopy(network)).to(memory_format=torch.contiguous_format)
        actions['SpikingJelly, not channels_last'] = _training_step(
            packed, setting, images=setting.images().contiguous()
        )
    runs = interleaved(actions, setting.device, setting.rounds, label='ResNet-19')
    found = medians(runs)
    rows = _search_rows('ResNet-19', found, runs)
    rows += [
        Row(f'ResNet-19, training step: {name}', 'fixed beta', found[name] / found['fixed'], None, found, runs)
        for name in ('compiled as a whole', 'blocks run again')
    ]
    what = 'ResNet-19, training step, fixed beta'
    rows.append(
        Row(
            what,
            'ReLU network, batch T * B',
            found['fixed'] / found['ReLU'],
            1.35 if setting.device.type == 'cuda' else 1.25,
            found,
            runs,
        )
    )
    if setting.with_peers:
        best = min((name for name in found if name.startswith('SpikingJelly')), key=found.get)
        rows.append(Row(what, best, found['fixed'] / found[best], 0.85, found, runs))
    return rows


def spikformer_rows(setting):
    """A training step of Spikformer-4-384 under the searches."""
    actions = _searches(_build(SPIKFORMER, setting), setting)
    runs = interleaved(actions, setting.device, setting.rounds, label='Spikformer-4-384')
    return _search_rows('Spikformer-4-384', medians(runs), runs)


def memory_rows(setting):
    """Peak memory of a training step of ResNet-19."""
    kinds = ['ours', 'ours, blocks run again'] + ['SpikingJelly'] * setting.with_peers
    found = {
        kind: peak_memory(partial(_memory_action, setting, kind), setting.device, setting.threads) for kind in kinds
    }
    what = 'ResNet-19, training step: peak memory'
    rows = [Row(f'{what}, blocks run again', 'ours', found[kinds[1]] / found['ours'], None, found)]
    if setting.with_peers:
        rows.append(Row(what, 'SpikingJelly', found['ours'] / found['SpikingJelly'], 0.7, found))
    return rows


def time_rows(setting):
    """How cost grows with T: what a further step costs, from doubling to doubling, and how far that is off the mean."""
    rows = []
    steps = (1, 2, 4, 8, 16)
    layer = LIF(tau=2.0, decay_input=False).to(setting.device)
    inputs = {T: (2 * torch.randn(T, 16, 64, 32, 32, device=setting.device)).requires_grad_() for T in steps}
    gradients = {T: torch.randn_like(x) for T, x in inputs.items()}

    def neuron(T):
        inputs[T].grad = None
        layer(inputs[T]).backward(gradients[T])

    def network(T):
        config = copy.deepcopy(RESNET19)
        config['backbone'].update(T=T, widths=(32, 64, 128), stem=16)
        config['head']['in_channels'] = 128
        return _training_step(_build(config, setting), setting)

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
                _unevenness(found),
                1.1,
                {f'T = {T}': value for T, value in found.items()},
                {f'T = {T}': values for T, values in runs.items()},
            )
        )
    return rows


def _unevenness(seconds):
    """The factor between what a further time step costs on average and where it is farthest from that.

    Args:
        seconds: {T: seconds}, T ascending.

    Returns:
        At least 1; inf where a further step costs nothing, or less.
    """
    points = list(seconds.items())
    slopes = [(y - x) / (b - a) for (a, x), (b, y) in zip(points, points[1:])]
    if min(slopes) <= 0:
        return math.inf
    mean = (points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0])
    return max(max(slope / mean, mean / slope) for slope in slopes)


def where_time_goes(setting, top=10):
    """{step: [(operation, share of the time in it)]} of the training steps of both networks, the `top` longest."""
    found = {}
    for network, config in (('ResNet-19', RESNET19), ('Spikformer-4-384', SPIKFORMER)):
        for name, step in _searches(_build(config, setting), setting).items():
            step()
            with torch.profiler.profile() as profile:
                step()
            on_device = setting.device.type == 'cuda'
            times = {
                event.key: event.self_device_time_total if on_device else event.self_cpu_time_total
                for event in profile.key_averages()
            }
            total = sum(times.values())
            longest = sorted(times, key=times.get, reverse=True)[:top]
            found[f'{network}, {name}'] = [(key, times[key] / total) for key in longest]
    return found


PARTS = dict(neuron=neuron_rows, resnet=resnet_rows, spikformer=spikformer_rows, memory=memory_rows, time=time_rows)


def document(rows, facts, profiles=None):
    """Rows, facts of the measurement, and what `where_time_goes` found, as Markdown."""
    lines = [
        '# Speed and memory',
        '',
        f'Measured on {facts["machine"]} by',
        '',
        f'    {facts["command"]}',
        '',
        'Ratios of medians of interleaved runs in one process; below 1 is faster, or less. "Reach" is what this '
        'project aims at.',
        '',
        '| what | against | ratio | reach | |',
        '|---|---|---|---|---|',
    ]
    for row in rows:
        verdict = '' if row.reach is None else 'reached' if row.ratio <= row.reach else 'missed'
        reach = '' if row.reach is None else f'{row.reach:.2f}'
        lines.append(f'| {row.what} | {row.against} | {row.ratio:.2f} | {reach} | {verdict} |')
    lines += ['', '## Medians', '']
    seen = []
    for row in rows:
        if row.medians in seen:
            continue
        seen.append(row.medians)
        lines += [f'{row.what.partition(",")[0].partition(":")[0]}:', '', '| | median | quartiles |', '|---|---|---|']
        for name, value in row.medians.items():
            spread = statistics.quantiles(row.runs[name], n=4)[::2] if len(row.runs.get(name, [])) > 1 else []
            lines.append(f'| {name} | {_shown(value, row)} | {" to ".join(_shown(x, row) for x in spread)} |')
        lines.append('')
    if profiles:
        lines += ['## Where the time goes', '']
        for step, shares in profiles.items():
            lines += [f'{step}: ' + ', '.join(f'`{key}` {share:.0%}' for key, share in shares if share >= 0.01), '']
    lines += ['## Facts', '', '| | |', '|---|---|', *(f'| {key} | {value} |' for key, value in facts.items()), '']
    return '\n'.join(lines)


def _shown(value, row):
    return f'{value * 1e3:,.1f} ms' if row.runs else f'{value / 2**20:,.0f} MiB'


def _build(config, setting):
    torch.manual_seed(0)
    network = MODELS.build(copy.deepcopy(config)).train().to(setting.device)
    # PyTorch's own initial weights of the linear layers are so small that no neuron after them fires
    for module in network.head.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.2)
    return network.to(memory_format=torch.channels_last)


def _training_step(network, setting, policy=None, images=None, batch=None):
    """A function that trains for one step: forward, loss, backward, SGD."""
    images = setting.images(batch) if images is None else images
    labels = torch.randint(10, images.shape[:1], device=setting.device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    done = 0

    def step():
        nonlocal done
        if policy is not None:
            policy.begin(done)
        with torch.autocast(setting.device.type, setting.amp, enabled=setting.amp is not None):
            loss = F.cross_entropy(network(images).mean(0), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        done += 1

    return step


def _searches(network, setting):
    policies = {
        'fixed': Fixed(dict(type='ASY')),
        'exact search': A2SG(searcher=dict(type='ExactSearcher')),
        'TPE of 16 trials': A2SG(searcher=dict(type='TPESearcher', trials=16)),
    }
    actions = {}
    for name, policy in policies.items():
        twin = copy.deepcopy(network)
        attach(twin, policy)
        actions[name] = _training_step(twin, setting, policy)
    return actions


def _search_rows(network, found, runs):
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


def _with_relu(network):
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, Neuron):
                setattr(module, name, nn.ReLU())
    return network


def _memory_action(setting, kind, device):
    network = _build(RESNET19, setting)
    network.backbone.recompute = kind == 'ours, blocks run again'
    if kind == 'SpikingJelly':
        network = peers.SpikingJellyResNet(network)
    return _training_step(network, setting, batch=2), _training_step(network, setting)


def _reset_function():
    from spikingjelly.activation_based import functional

    return functional.reset_net
