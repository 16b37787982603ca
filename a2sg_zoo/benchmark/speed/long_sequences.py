"""What long sequences cost: a layer of neurons, its search, and a network in chunks of time steps."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from a2sg_zoo.adaptation import A2SG, Fixed, attach
from a2sg_zoo.benchmark.speed import peers
from a2sg_zoo.benchmark.speed.networks import Setting, Step, lif
from a2sg_zoo.benchmark.speed.rows import Row, unevenness
from a2sg_zoo.benchmark.speed.timing import interleaved, medians, peak_memory
from a2sg_zoo.models.language import SpikeGPT

STEPS = (64, 256, 784)
EVEN_STEPS = (4, 8, 16, 32, 64)
SEARCH_STEPS = 256
SHAPE = (32, 256)
"""Samples and features of a time step of the layer."""
EVEN_SHAPE = (16, 64, 32, 32)
CHUNK = 16
LIF = dict(type='LIF', tau=2.0, decay_input=False)


def long_rows(setting: Setting) -> list[Row]:
    """Measure a LIF layer over T = 64, 256 and 784 against other libraries, and a network with and without chunks."""
    return [*_layer_rows(setting), *_even_rows(setting), *_search_rows(setting), *_network_rows(setting)]


def _layer_rows(setting: Setting) -> list[Row]:
    rows = []
    kinds = ('ours', 'SpikingJelly', 'snnTorch') if setting.with_peers else ('ours',)
    for T in STEPS:
        what = f'LIF layer, T = {T}, forward and backward'
        actions = {kind: _layer_step(setting, kind, T, setting.device) for kind in kinds}
        runs = interleaved(actions, setting.device, 2 * setting.rounds, label=what)
        found = medians(runs)
        rows += [Row(what, kind, found['ours'] / found[kind], 0.5, found, runs) for kind in kinds[1:]]
        if not setting.with_peers:
            continue
        if T < 256:  # too little to be told from what a process needs besides
            continue
        memory = {
            kind: peak_memory(partial(_layer_action, setting, kind, T), setting.device, setting.threads)
            for kind in kinds
        }
        rows += [Row(f'{what}: peak memory', kind, memory['ours'] / memory[kind], 0.25, memory) for kind in kinds[1:]]
    return rows


def _even_rows(setting: Setting) -> list[Row]:
    actions = {T: _layer_step(setting, 'ours', T, setting.device, EVEN_SHAPE) for T in EVEN_STEPS}
    runs = interleaved(actions, setting.device, 5 * setting.rounds, label='LIF layer, T')
    found = medians(runs)
    return [
        Row(
            f'LIF layer: cost of a further time step between T = {", ".join(map(str, EVEN_STEPS))}, '
            'farthest from the mean',
            'the mean',
            unevenness(found),
            1.1,
            {f'T = {T}': value for T, value in found.items()},
            {f'T = {T}': values for T, values in runs.items()},
        )
    ]


def _search_rows(setting: Setting) -> list[Row]:
    """A training step of a small network for sequences, with a search in it."""
    T = SEARCH_STEPS
    policies: dict[str, Any] = {
        'fixed': Fixed(dict(type='ASY')),
        'exact search': A2SG(),
        'exact search, steps_per_width=16': A2SG(steps_per_width=16),
    }
    actions = {name: _network_step(setting, T, None, setting.device, policy) for name, policy in policies.items()}
    runs = interleaved(actions, setting.device, setting.rounds, warmup=1, label='search')
    found = medians(runs)
    what = f'SpikeGPT, T = {T}, training step: A2SG'
    return [
        Row(f'{what}, {name}', 'fixed beta', found[name] / found['fixed'], None, found, runs)
        for name in policies
        if name != 'fixed'
    ]


def _network_rows(setting: Setting) -> list[Row]:
    rows = []
    for T in STEPS:
        names = {'at once': None, f'time_chunk={CHUNK}': CHUNK}
        actions = {name: _network_step(setting, T, chunk, setting.device) for name, chunk in names.items()}
        runs = interleaved(actions, setting.device, setting.rounds, label=f'network, T = {T}')
        found = medians(runs)
        memory = {
            name: peak_memory(partial(_network_action, setting, T, chunk), setting.device, setting.threads)
            for name, chunk in names.items()
        }
        what, (at_once, in_chunks) = f'SpikeGPT, T = {T}, training step', names
        rows += [
            Row(f'{what}: {in_chunks}', at_once, found[in_chunks] / found[at_once], None, found, runs),
            Row(f'{what}: peak memory, {in_chunks}', at_once, memory[in_chunks] / memory[at_once], None, memory),
        ]
    return rows


def _layer_step(
    setting: Setting, kind: str, T: int, device: torch.device, shape: tuple[int, ...] | None = None
) -> Step:
    x = (2 * torch.randn(T, *(shape or SHAPE), device=device)).requires_grad_()
    g = torch.randn_like(x)
    layer: Callable[[torch.Tensor], torch.Tensor]
    reset: Callable[[nn.Module], None] | None = None
    if kind == 'SpikingJelly':
        layer, reset = peers.spikingjelly_lif().to(device), peers.spikingjelly_reset()
    else:
        layer = peers.snntorch_lif().to(device) if kind == 'snnTorch' else lif(setting)

    def step():
        x.grad = None
        if reset is not None:
            reset(layer)
        layer(x).backward(g)

    return step


def _layer_action(setting: Setting, kind: str, T: int, device: torch.device) -> tuple[Step, Step]:
    return _layer_step(setting, kind, 48, device), _layer_step(setting, kind, T, device)


def _network_step(setting: Setting, T: int, chunk: int | None, device: torch.device, policy: Any = None) -> Step:
    torch.manual_seed(0)
    network = SpikeGPT(embed_dims=64, depth=2, num_heads=2, T=T, neuron=copy.deepcopy(LIF), time_chunk=chunk)
    network = network.to(device)
    if policy is not None:
        attach(network, policy)
    text = torch.randint(256, (T, setting.batch), device=device)
    done = 0

    def step():
        nonlocal done
        if policy is not None:
            policy.begin(done)
        network(text)[0].mean(0).square().sum().backward()
        network.zero_grad()
        done += 1

    return step


def _network_action(setting: Setting, T: int, chunk: int | None, device: torch.device) -> tuple[Step, Step]:
    return _network_step(setting, 2 * CHUNK, chunk, device), _network_step(setting, T, chunk, device)
