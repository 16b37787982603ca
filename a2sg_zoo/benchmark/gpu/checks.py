"""Checks of what only a CUDA device shows, and the speed table. Each one is a function from a `Place` to figures."""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.benchmark.gpu.journal import Journal
from a2sg_zoo.benchmark.gpu.kernels import compare_kernels, compare_layer, compare_searches
from a2sg_zoo.benchmark.speed import measurements, peers
from a2sg_zoo.benchmark.speed.networks import RESNET19, Setting, build, training_step
from a2sg_zoo.benchmark.speed.report import as_data, markdown
from a2sg_zoo.benchmark.speed.timing import peak_memory, wait
from a2sg_zoo.datasets.classification import Digits
from a2sg_zoo.datasets.seeding import SeededIndex
from a2sg_zoo.errors import A2SGError, ConfigError
from a2sg_zoo.neurons import LIF
from a2sg_zoo.neurons.fused import step_by_step

Figures = dict[str, Any]
# A network of one residual block. In deeper ones a flipped spike changes all later ones: with random weights, noise of
# 1e-6 in the images of a ResNet-19 already turns its gradients by 90 degrees, so they cannot be compared.
_SHALLOW: dict[str, Any] = {
    **RESNET19,
    'backbone': {**RESNET19['backbone'], 'depths': (1,), 'widths': (32,), 'stem': 32},
    'head': dict(type='LinearHead', in_channels=32, num_classes=10),
}
_SHALLOW_BATCH = 32
# smallest cosine between the gradients of the shallow network and those that they are compared with
_ALIGNED = 0.95


class Skipped(Exception):
    """A check has nothing to look at on this machine; the message says why."""


class Place(NamedTuple):
    """Where and how the checks run.

    Attributes:
        device: device of all tensors.
        smoke: whether sizes are tiny, to try the report itself on a CPU.
        seconds_left: function that returns the seconds until the time is up.
    """

    device: torch.device
    smoke: bool
    seconds_left: Callable[[], float] = lambda: 60.0

    def setting(self) -> Setting:
        """Return the setting of the speed measurements."""
        with_peers = not self.smoke and all(find_spec(name) for name in ('spikingjelly', 'snntorch'))
        rounds, batch = (1, 2) if self.smoke else (5, 64)
        return Setting(self.device, None, batch, rounds, torch.get_num_threads(), with_peers)

    def network(self, shallow: bool = False) -> nn.Module:
        """Return a ResNet-19 in training mode, or a network of one block; with the same weights at each call."""
        return build(_SHALLOW if shallow or self.smoke else RESNET19, self.setting())

    def require_cuda(self) -> None:
        """Raise Skipped unless the device is a CUDA device."""
        if self.device.type != 'cuda':
            raise Skipped('needs a CUDA device')


def run_checks(place: Place, journal: Journal, names: list[str] | None = None) -> list[str]:
    """Run checks one after the other, and write the report before and after each.

    A check that fails does not stop the others. When the time is up, those that are left are skipped.

    Args:
        place: device and sizes.
        journal: gets a row for each check: name, status ('passed', 'failed', 'skipped'; 'running' while it runs),
            seconds, figures and reason.
        names: of the checks to run, by default all of `CHECKS`.

    Returns:
        Names of the checks that failed.
    """
    for name in names or CHECKS:
        row: dict[str, Any] = dict(name=name, status='running', seconds=None, figures={}, reason='')
        journal.rows.append(row)
        journal.write()
        start = time.perf_counter()
        try:
            if place.seconds_left() <= 0:
                raise Skipped('the time was up')
            figures = CHECKS[name](place)
            wait(place.device)
            row.update(status='passed', markdown=figures.pop('markdown', ''), figures=figures)
        except Skipped as reason:
            row.update(status='skipped', reason=str(reason))
        except Exception as error:  # of any kernel, compiler or library
            row.update(status='failed', reason=f'{type(error).__name__}: {error}'[:2000])
        row['seconds'] = round(time.perf_counter() - start, 2)
        journal.write()
        print('  '.join(map(str, cells(row))), flush=True)
    return [row['name'] for row in journal.rows if row['status'] == 'failed']


HEADS = ('check', 'result', 'seconds', 'figures')


def cells(row: dict[str, Any]) -> list[object]:
    """Return the cells of a row under `HEADS`."""
    shown = row['reason'] or ', '.join(
        f'{key} {_short(value)}' for key, value in row['figures'].items() if not isinstance(value, (list, dict))
    )
    return [row['name'], row['status'], row['seconds'], shown[:300]]


def kernels(place: Place) -> Figures:
    """Compare the Triton kernels with the step-by-step reference, and a layer's gradients with autograd."""
    place.require_cuda()
    if find_spec('triton') is None:
        raise Skipped('triton is not installed')
    number = compare_kernels(place.device)
    compare_layer(place.device)
    return dict(kinds_of_neurons=number, searches=compare_searches(place.device))


def data(place: Place) -> Figures:
    """Compare augmented batches of images on the device with those on the CPU; they must be equal."""
    steps = [dict(type=kind) for kind in ('BatchCrop', 'BatchFlip', 'BatchCutout', 'BatchErasing')]
    indices = [SeededIndex(i, i + 100) for i in range(64)]
    items = [Digits(pipeline=steps, device=name).__getitems__(indices) for name in (str(place.device), 'cpu')]
    different = sum(not a['inputs'].cpu().equal(b['inputs']) for a, b in zip(*items))
    if different:
        raise A2SGError(f'{different} of {len(indices)} images differ from those of the CPU')
    return dict(images=len(indices))


def precision(dtype: torch.dtype, place: Place) -> Figures:
    """Compare a step of a shallow network under autocast with one in float32, and take a step of a deep network."""
    figures = _compared(place, place.network(shallow=True), dtype)
    network, setting = place.network(), place.setting()
    labels = torch.arange(setting.batch, device=place.device) % 10
    loss, gradients = _gradients(network, setting.images(), labels, dtype)
    norm = float(_joined(gradients).norm())
    figures |= dict(loss_of_deep_network=float(loss), norm_of_its_gradients=norm)
    if not math.isfinite(norm):
        raise A2SGError(f'gradients of the deep network are not finite: {figures}')
    return figures


def _compared(place: Place, network: nn.Module, dtype: torch.dtype | None = None, change: Any = None) -> Figures:
    """Gradients of a network beside those after a change of it, or under autocast."""
    images = place.setting().images(_SHALLOW_BATCH)
    labels = torch.arange(_SHALLOW_BATCH, device=place.device) % 10
    loss, gradients = _gradients(network, images, labels, None)
    if change is not None:
        change(network)
    start = time.perf_counter()
    found_loss, found = _gradients(network, images, labels, dtype)
    cosine = _cosine(_joined(found), _joined(gradients))
    seconds = time.perf_counter() - start
    figures: Figures = dict(
        cosine_of_gradients=cosine, loss=float(found_loss), reference_loss=float(loss), seconds=seconds
    )
    cosines = {name: _cosine(found[name], gradient) for name, gradient in gradients.items()}
    lowest = min(cosines, key=cosines.__getitem__)
    figures.update(lowest=lowest, its_cosine=cosines[lowest])
    if not cosine > _ALIGNED:
        raise A2SGError(f'gradients are not those of the reference: {figures}')
    return figures


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(F.cosine_similarity(a.flatten(), b.flatten(), dim=0))


def _joined(gradients: Mapping[str, Tensor]) -> Tensor:
    """All gradients as one vector."""
    return torch.cat([x.flatten() for x in gradients.values()])


def _gradients(
    network: nn.Module, images: Tensor, labels: Tensor, dtype: torch.dtype | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and the gradients of the parameters; small float16 gradients are kept from vanishing by a scale."""
    network.zero_grad()
    with torch.autocast(images.device.type, dtype) if dtype else nullcontext():
        loss = F.cross_entropy(network(images).float().mean(0), labels)
    scale = 1024.0 if dtype == torch.float16 else 1.0
    (scale * loss).backward()
    return loss.detach(), {name: p.grad.float() / scale for name, p in network.named_parameters() if p.grad is not None}


def compiled(place: Place) -> Figures:
    """Compare gradients of a compiled layer, and of a compiled backbone, with those of the same without compilation."""
    # a smoke test traces the network and generates no code, which takes a minute on a CPU
    options: dict[str, Any] = dict(backend='eager') if place.smoke else {}
    layer = LIF(T=4).to(place.device)
    figures = {}
    for name, layout in (('layer', torch.contiguous_format), ('layer_channels_last', torch.channels_last)):
        x, g = (torch.randn(32, 16, 8, 8, device=place.device).to(memory_format=layout) for _ in range(2))
        x, g = x.unflatten(0, (4, 8)).requires_grad_(), g.unflatten(0, (4, 8))
        (found,), (expected,) = (torch.autograd.grad(f(x), x, g) for f in (torch.compile(layer, **options), layer))
        figures[f'cosine_of_{name}'] = _cosine(found, expected)
    network = place.network(shallow=True)
    try:
        return figures | _compared(place, network, change=lambda network: network.backbone.compile(**options))
    except A2SGError as error:
        raise A2SGError(f'{error}; {figures}') from error


def memory(place: Place) -> Figures:
    """Measure the peak memory of a training step with compiled kernels, and with the reference, step by step."""
    place.require_cuda()
    network = place.network()
    found = {}
    for name, context in (('fused', nullcontext), ('step_by_step', step_by_step)):
        action = partial(_within, context, training_step(network, place.setting()))
        found[name] = peak_memory(partial(_twice, action), place.device, 1) / 2**20
    figures = dict(fused_MiB=found['fused'], step_by_step_MiB=found['step_by_step'])
    if found['fused'] > 1.1 * found['step_by_step']:
        raise A2SGError(f'kernels need more memory than the reference: {figures}')
    return figures


def _within(context: Callable[[], Any], action: Callable[[], None]) -> None:
    with context():
        action()


def _twice(action: Callable[[], None], device: torch.device) -> tuple[Callable[[], None], Callable[[], None]]:
    """The action that warms up, and the one that is measured."""
    return action, action


def synchronisation(place: Place) -> Figures:
    """Train steps in which A2SG searches exactly, while every wait of the host for the device is an error."""
    place.require_cuda()
    network, policy = place.network(), A2SG(searcher=dict(type='ExactSearcher'), interval=1)
    attach(network, policy)
    step = training_step(network, place.setting(), policy)
    for _ in range(2):  # compiles kernels
        step()
    torch.cuda.set_sync_debug_mode('error')
    try:
        for _ in range(4):
            step()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    return dict(steps=4, searches=sum(policy.searches.values()))


def speed(part: str, place: Place) -> Figures:
    """Measure one part of the speed table."""
    setting = place.setting()
    if part == 'attached' and not setting.with_peers:
        raise Skipped('spikingjelly and snntorch are not installed (pip install "a2sg-zoo[peers]")')
    if place.smoke and part != 'neuron':
        raise Skipped('takes too long for a smoke test')
    rows = measurements.PARTS[part](setting)
    facts = dict(machine=str(place.device), command=f'a2sg-zoo benchmark_speed {part}')
    text = markdown(rows, facts, None).partition('## Facts')[0].partition('below 1 is')[2].partition('\n\n')[2]
    figures = {f'{row.what}, against {row.against}': row.ratio for row in rows}
    return figures | dict(rows=as_data(rows, facts)['rows'], markdown=f'## Speed: {part}\n\n{text.strip()}')


def backend(name: str, place: Place) -> Figures:
    """Measure a LIF layer beside SpikingJelly with one of its back ends, in a process of its own."""
    try:
        environment = peers.spikingjelly_environment(name)
    except ConfigError as error:
        raise Skipped(str(error)) from error
    place.require_cuda()
    with tempfile.TemporaryDirectory() as folder:
        words = ['neuron', '--device', str(place.device), '--rounds', '3', '--out', str(Path(folder, 'speed'))]
        program = 'import sys; from a2sg_zoo.cli.benchmark_speed import main; main(sys.argv[1:])'
        try:
            done = subprocess.run(
                [sys.executable, '-c', program, *words],
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
                timeout=max(place.seconds_left(), 1.0),
            )
        except subprocess.TimeoutExpired:
            raise Skipped('the time was up during the measurement') from None
        if done.returncode:
            raise A2SGError((done.stderr.strip().splitlines() or ['no output'])[-1])
        rows = json.loads(Path(folder, 'speed.json').read_text())['rows']
    (row,) = [row for row in rows if row['against'] == 'SpikingJelly' and ':' not in row['what']]
    return dict(ratio=row['ratio'], ours_ms=1e3 * row['medians']['ours'], ms=1e3 * row['medians']['SpikingJelly'])


CHECKS: Mapping[str, Callable[[Place], Figures]] = {
    'triton_kernels': kernels,
    'data_on_the_device': data,
    'autocast_bfloat16': partial(precision, torch.bfloat16),
    'autocast_float16': partial(precision, torch.float16),
    'no_synchronisation': synchronisation,
    'peak_memory': memory,
    'compile': compiled,
    'speed_neuron': partial(speed, 'neuron'),
    **{f'spikingjelly_{name}': partial(backend, name) for name in ('torch', 'cupy', 'cuda', 'triton')},
    **{f'speed_{part}': partial(speed, part) for part in ('memory', 'resnet', 'time', 'attached', 'spikformer')},
}
"""{name: check}, the most important first."""


def _short(value: Any) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)
