"""A network that goes through a long sequence in chunks of time steps, with little memory for the backward pass.

Without chunks, the backward pass keeps the membrane potentials of every layer at all T time steps. In chunks, it keeps
the states of the neurons between chunks, and the activations of one chunk at a time, which it computes once more. With
C time steps a chunk this is in proportion to T / C + C, so it grows as sqrt(T) for C = sqrt(T).

Outputs, gradients and the widths that a policy chooses are those of the whole sequence at once. This holds for networks
in which time steps meet in two ways only: in layers without a state each time step is by itself; a layer with a state
over time has `advance(x, state) -> (y, state)`, as neurons have. A layer in which time steps meet in another way says
so by `mixes_time = True`, and such a network is refused. So is a `Neuron` with a `forward` of its own and no `advance`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers.activation_checkpointing import refuse_to_compile, run_checkpointed
from a2sg_zoo.models.layers.norms import BATCH_NORMS
from a2sg_zoo.neurons import Neuron

Run = Callable[[int, int], Iterable[Tensor]]
"""run(start, stop) computes the outputs, each (stop - start, B, ...), of the time steps from start to before stop."""


def run_in_chunks(network: nn.Module, run: Run, T: int, chunk: int, mean: bool) -> tuple[Tensor, ...]:
    """Run a network over T time steps, `chunk` of them at a time.

    Args:
        network: the modules with a state over time are those of its children that have a method `advance`.
        run: computes some time steps. It calls modules of the network, and needs to know nothing of their states.
        T: number of time steps.
        chunk: number of time steps that run at once; the last chunk may be shorter.
        mean: whether outputs are averaged over time.

    Returns:
        the outputs over all time steps, (T, B, ...), or their means, (B, ...).
    """
    if torch.compiler.is_compiling():
        refuse_to_compile('time_chunk')
    modules = list(dict.fromkeys(_with_state(network)))
    before: dict[Any, Any] = {}
    found: list[list[Tensor]] = []
    with _potentials_of_chunks(network) as next_chunk:
        for start in range(0, T, chunk):
            stop = min(start + chunk, T)
            outputs, before = _run_chunk(network, partial(_outputs, modules, run, start, stop, before, mean))
            next_chunk()
            found = found or [[] for _ in outputs]
            for kept, y in zip(found, outputs):
                kept[:] = [kept[0] + y] if mean and kept else [*kept, y]
    return tuple(parts[0] / T if mean else torch.cat(parts) for parts in found)


def _run_chunk(network, function):
    if not torch.is_grad_enabled():
        return function()
    return run_checkpointed(network, function)


def _outputs(modules, run, start, stop, before, mean):
    """(outputs of a chunk, or their sums over time; {(module, number of its call): state after the chunk})."""
    with _carried(modules, before) as after:
        outputs = run(start, stop)
        # within the context, because `run` may compute its outputs as they are asked for
        return [y.sum(0) if mean else y for y in outputs], after


@contextmanager
def _carried(modules: Sequence[nn.Module], before: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
    """Within it, calls of the modules continue from the states `before`; the states after them come into the result."""
    after: dict[Any, Any] = {}
    calls: Counter[nn.Module] = Counter()

    def forward(module, x):
        key = module, calls[module]
        calls[module] += 1
        y, after[key] = module.advance(x, before.get(key))
        return y

    # what a profiler, say, has put in place of the method of the class
    own = {module: vars(module)['forward'] for module in modules if 'forward' in vars(module)}
    for module in modules:
        module.forward = partial(forward, module)
    try:
        yield after
    finally:
        for module in modules:
            if module in own:
                module.forward = own[module]
            else:
                del module.forward


def _with_state(network):
    for child in network.children():
        if callable(getattr(child, 'advance', None)):
            yield child
        else:
            yield from _with_state(child)


@contextmanager
def _potentials_of_chunks(network):
    """Within it, recorded potentials of chunks are collected; then each neuron has one entry for all time steps."""
    neurons = [m for m in network.modules() if isinstance(m, Neuron) and m.potentials is not None]
    record = neurons[0].potentials if neurons else None
    chunks: list[list[tuple[Neuron, Tensor]]] = []

    def next_chunk():
        chunks.append([])
        for neuron in neurons:
            neuron.potentials = chunks[-1]

    next_chunk()
    try:
        yield next_chunk
    finally:
        for neuron in neurons:
            neuron.potentials = record
    if record is not None:
        record.extend(_joined(chunks[:-1]))


def _joined(chunks):
    orders = [[neuron for neuron, _ in entries] for entries in chunks]
    if any(order != orders[0] for order in orders):
        raise ConfigError(
            'time_chunk: every chunk must record potentials of the same neurons in the same order. A layer that calls '
            'its neuron in each time step has to join the entries of one call, as `Recurrent` does'
        )
    return [(parts[0][0], torch.cat([u for _, u in parts])) for parts in zip(*chunks, strict=True)]


def refuse_mixed_time(network: nn.Module, chunked_norms: bool) -> None:
    """Refuse a network that would compute something else in chunks.

    Args:
        network: the network.
        chunked_norms: whether batch norms may take their statistics over a chunk.

    Raises:
        ConfigError: the network has such layers; the message names them.
    """
    owner = type(network).__name__
    mixing = [f'{name} ({type(module).__name__})' for name, module in network.named_modules() if _mixes_time(module)]
    if mixing:
        raise ConfigError(
            f'{owner}: time_chunk cannot be used, because time steps of different chunks meet in {_shown(mixing)}. '
            'Leave out time_chunk (model.backbone.recompute=True saves memory in any network), or leave out this '
            'layer: drop_path=0 and dropout=0 for those that drop something at all time steps at once'
        )
    norms = [
        f'{name} ({type(module).__name__})'
        for name, module in network.named_modules()
        if isinstance(module, BATCH_NORMS) and (module.training or module.running_mean is None)
    ]
    if norms and not chunked_norms:
        raise ConfigError(
            f'{owner}: time_chunk changes what the batch norms compute in training: {_shown(norms)} normalise over all '
            'T time steps and the batch, and in chunks over the time steps of a chunk. Set '
            'model.backbone.chunked_norms=True if that is what you want, use a norm of each sample (norm="layer" where '
            'the backbone has it), or freeze the norms (frozen)'
        )


def _mixes_time(module):
    if isinstance(module, Neuron) and type(module).advance is Neuron.advance:
        return type(module).forward is not Neuron.forward  # it does something that `advance` knows nothing of
    declared = getattr(module, 'mixes_time', False) or getattr(module, 'all_at_once', False)
    return declared or isinstance(module, nn.RNNBase)


def _shown(names, most=3):
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(names[:most]) + more
