"""Export networks to NIR, the neuromorphic intermediate representation.

NIR describes neurons in continuous time. Simulators read it with a time step dt by Euler's forward method:

    tau dv/dt = (v_leak - v) + R I    gives    u[t] = v[t-1] + (dt / tau) (v_leak - v[t-1] + R I[t])
    dv/dt = R I                       gives    u[t] = v[t-1] + dt R I[t]

Then the neuron fires, and v[t] = v_reset after a spike. The neurons of this package (see `neurons.dynamics`) have tau
in time steps. They become

    IF                     nir.IF     R = 1 / dt
    LIF, decay_input       nir.LIF    tau dt in place of tau, R = 1,   v_leak = v_reset
    LIF, summed input      nir.LIF    tau dt in place of tau, R = tau, v_leak = 0
    PLIF                   as LIF, with the learned tau

NIR leaves two things open. A NIR neuron fires above the threshold, and ours fires at or above it; readers differ here,
and it hardly ever matters for trained weights. NIR has no initial state; ours is v_reset.

NIR has no max pooling. For spikes, it becomes an average pooling and an IF neuron with a threshold of half a spike in
the pooling window. The neuron fires if there is at least one spike, and its reset leaves nothing for the next step.

Soft resets, integer neurons, products of signals (attention), and batch norms before a convolution cannot be expressed.

This module traces the graph itself. nirtorch's tracer gives the same graph for a chain of layers (a test compares
them), but it follows only modules and additions. It stops at the expansion over time, at views and at means over space,
it has no shapes, which NIR's neurons need, it makes one node for each layer, where max pooling needs two, and it does
not name the layer that cannot be expressed.

Source: Pedersen et al., Nature Communications 2024.
"""

import io
import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from a2sg_zoo.errors import A2SGError, ConfigError
from a2sg_zoo.export.deployed import Deployed
from a2sg_zoo.export.to_onnx import facts
from a2sg_zoo.models.layers.norms import BATCH_NORMS
from a2sg_zoo.neurons import ILIF, Neuron, Recurrent, StepNeuron
from a2sg_zoo.utils.tensors import nested_tensors

# functions that do not change the values of a signal
_SAME = (
    'flatten',
    'unflatten',
    'unsqueeze',
    'squeeze',
    'expand',
    'view',
    'reshape',
    'contiguous',
    'clone',
    'detach',
    'dropout',
    'to',
    'float',
    'double',
)
_PRODUCTS = ('matmul', '__matmul__', 'mul', '__mul__', '__rmul__', 'bmm', 'einsum')


def to_nir(deployed: Deployed, name: str, dt: float = 1e-4) -> Any:
    """Export a classifier to a `nir.NIRGraph` of one time step, which the reader runs T times.

    The input of the graph is the normalised picture (3, H, W), the same in every time step, or one event frame. The
    output is the logits of that time step; the classifier takes their mean over time. A sum is several edges into one
    node. The metadata have what NIR cannot express, as JSON: mean and std of the pictures, T, dt, classes, name.

    Args:
        deployed: the network.
        name: name of the weights or the config, for the metadata.
        dt: duration of a time step, in seconds; most readers assume 1e-4.

    Raises:
        ConfigError: nir is not installed, or the network is not a classifier.
        A2SGError: NIR cannot express a layer, which the message names.
    """
    nir = _nir()
    if deployed.task != 'classification':
        raise ConfigError(
            f'{name}: only classifiers can be exported to NIR, and the task of this network is {deployed.task}; '
            'export it to ONNX'
        )
    # one step of one sample
    shape = deployed.input_shape if deployed.takes_pictures else (1, *deployed.input_shape[1:])
    tracer = _Tracer(nir, dt)
    tracer.trace(deployed.network, torch.zeros(1, *shape, dtype=deployed.dtype), shape[-3:], T=1)
    preprocessing = dict(
        mean=deployed.mean.flatten().tolist(), std=deployed.std.flatten().tolist(), blue_first=deployed.flip
    )
    known = dict(
        facts(deployed, name),
        dt=dt,
        preprocessing=preprocessing,
        output='logits of one time step; average them over T time steps',
        input=f'({", ".join(map(str, shape[-3:]))}): normalised, in each of T time steps',
    )
    try:
        return nir.NIRGraph(tracer.nodes, tracer.edges, {key: json.dumps(value) for key, value in known.items()})
    except (ValueError, AssertionError) as error:
        raise A2SGError(f'{name}: NIR refuses the graph ({error}); export the network to ONNX') from error


def to_bytes(graph: Any) -> bytes:
    """Return the contents of a NIR file (HDF5) for a `nir.NIRGraph`."""
    file = io.BytesIO()
    _nir().write(file, graph)
    return file.getvalue()


def _nir():
    try:
        import nir
    except ImportError as error:
        raise ConfigError(f'NIR needs the package {error.name}: pip install "a2sg-zoo[export]"') from error
    return nir


class _Value(NamedTuple):
    """A tensor as a signal of the graph: a sum of nodes' outputs.

    Attributes:
        sources: names of the nodes.
        shape: shape in one time step of one sample.
        spikes: whether all values are 0 or 1.
    """

    sources: tuple
    shape: tuple
    spikes: bool = False


class _Tracer(TorchFunctionMode):
    """Runs a network once, and makes a node for every layer and an edge for every path between layers."""

    def __init__(self, nir, dt):
        super().__init__()
        self.nir, self.dt = nir, dt
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self._values: dict[int, _Value] = {}  # by the id of the tensor
        self._tensors: list[torch.Tensor] = []
        self._path: list[tuple[str, nn.Module]] = []
        self._inside = False
        self._names: Counter[str] = Counter()
        self._makers: dict[type | tuple[type, ...], Callable[..., _Value]] = {
            nn.Conv2d: self._conv,
            nn.Linear: self._linear,
            nn.AvgPool2d: self._avg_pool,
            nn.MaxPool2d: self._max_pool,
            Neuron: self._neuron,
            ILIF: self._refuse_integers,
            Recurrent: self._refuse_feedback,
            BATCH_NORMS: self._refuse_batch_norm,
        }

    def trace(self, network, x, shape, **kwargs):
        self.nodes['input'] = self.nir.Input({'input': np.array(shape)})
        self._set(x, _Value(('input',), tuple(shape)))
        handles = []
        for name, module in network.named_modules():
            handles.append(module.register_forward_pre_hook(partial(self._enter, name)))
            # called after an error too, so that the path always tells where the tracer is
            handles.append(module.register_forward_hook(self._leave, always_call=True))
        try:
            with torch.no_grad(), self:
                y = network(x, **kwargs)
        finally:
            for handle in handles:
                handle.remove()
        self.nodes['output'] = self.nir.Output({'output': np.array(self._value(y).shape)})
        self._connect(self._value(y), 'output')

    def _maker(self, module):
        return next((make for kind, make in self._makers.items() if isinstance(module, kind)), None)

    def _enter(self, name, module, args):
        self._path.append((name, module))
        if self._maker(module) is not None:
            self._inside = True

    def _leave(self, module, args, y):
        name, make = self._path[-1][0], self._maker(module)
        try:
            if make is not None and y is not None:  # there is no output after an error
                self._inside = False
                # a layer's tensors are (T * B, ...), those of a neuron (T, B, ...), with T = B = 1
                value = self._value(args[0])
                lead = args[0].dim() - len(value.shape)
                self._set(y, make(name, module, value, tuple(y.shape[lead:])))
        finally:
            self._path.pop()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self._inside or not isinstance(result, (torch.Tensor, tuple, list)):
            return result
        values = [self._values[id(x)] for x in nested_tensors((args, kwargs)) if id(x) in self._values]
        results = list(nested_tensors(result))
        if values and results:
            self._set(results[0], self._operation(func.__name__, values, results, args, kwargs))
        return result

    def _operation(self, name, values, results, args, kwargs):
        value, shape = values[0], tuple(results[0].shape)
        if len(results) > 1:
            raise self._error(f"'{name}' divides a signal into parts")
        if len(values) == 1 and (name in _SAME or name == 'transpose'):
            lead = len(shape) - len(value.shape)
            # the shape alone does not tell a square picture from its transpose
            if shape[lead:] == value.shape and (
                name != 'transpose' or self._last_swapped(args, kwargs, len(shape)) < lead
            ):
                return value
            if shape[-1] == np.prod(shape) == np.prod(value.shape):
                return self._flatten(self._new('flatten'), value)
            raise self._error(f"'{name}' rearranges the values of a signal, as the heads of an attention do")
        if (
            len(values) == 2
            and name in ('add', '__add__', '__radd__', 'add_', '__iadd__')
            and len(args) == 2
            and not kwargs
            and values[0].shape == values[1].shape
        ):
            if set(values[0].sources) & set(values[1].sources):
                raise self._error('a signal is added to itself')
            return _Value(values[0].sources + values[1].sources, value.shape)
        if name == 'mean' and len(value.shape) == 3 and self._over_space(args, kwargs, results[0].dim() + 2):
            pooled = self._average(self._new('mean'), value, value.shape[1:], value.shape[1:], (0, 0))
            return self._flatten(self._new('flatten'), pooled)
        if name == 'adaptive_avg_pool2d' and not any(a % b for a, b in zip(value.shape[1:], shape[-2:])):
            cell = tuple(a // b for a, b in zip(value.shape[1:], shape[-2:]))
            return self._average(self._new('mean'), value, cell, cell, (0, 0))
        if name in _PRODUCTS:
            raise self._error(f"'{name}' multiplies signals, as attention does")
        raise self._error(f"there is no node for '{name}'")

    @staticmethod
    def _last_swapped(args, kwargs, dims):
        return max(axis % dims for axis in (*args, *kwargs.values()) if not isinstance(axis, torch.Tensor))

    @staticmethod
    def _over_space(args, kwargs, dims):
        axes = args[1] if len(args) > 1 else kwargs.get('dim')
        return (
            isinstance(axes, (tuple, list))
            and sorted(axis % dims for axis in axes) == [dims - 2, dims - 1]
            and not kwargs.get('keepdim')
        )

    def _conv(self, name, conv, value, shape):
        if conv.padding_mode != 'zeros':
            raise self._error(f'its padding is {conv.padding_mode!r}')
        bias = torch.zeros(len(conv.weight), dtype=conv.weight.dtype) if conv.bias is None else conv.bias
        padding = conv.padding if isinstance(conv.padding, str) else tuple(conv.padding)
        node = self.nir.Conv2d(
            value.shape[1:],
            _array(conv.weight),
            tuple(conv.stride),
            padding,
            tuple(conv.dilation),
            conv.groups,
            _array(bias),
        )
        # nir takes the channels from the kernel, and a grouped kernel has fewer channels than its input
        node.input_type = {'input': np.array(value.shape)}
        return self._add(name, node, value, shape)

    def _linear(self, name, linear, value, shape):
        node = (
            self.nir.Linear(_array(linear.weight))
            if linear.bias is None
            else self.nir.Affine(_array(linear.weight), _array(linear.bias))
        )
        return self._add(name, node, value, shape)

    def _avg_pool(self, name, pool, value, shape):
        kernel, stride, padding = map(_pair, (pool.kernel_size, pool.stride, pool.padding))
        if pool.ceil_mode or pool.divisor_override or any(padding) and not pool.count_include_pad:
            raise self._error('it averages over incomplete windows, or divides by another number')
        return self._average(name, value, kernel, stride, padding)

    def _max_pool(self, name, pool, value, shape):
        if not value.spikes:
            raise self._error('its input is not binary spikes')
        kernel, stride, padding = map(_pair, (pool.kernel_size, pool.stride, pool.padding))
        if pool.ceil_mode or pool.return_indices or _pair(pool.dilation) != (1, 1):
            raise self._error('its windows have gaps, or extend beyond the image')
        mean = self._average(f'{name}.mean', value, kernel, stride, padding)
        half = np.full(mean.shape, 0.5 / np.prod(kernel))
        node = self.nir.IF(np.full(mean.shape, 1 / self.dt), half, np.zeros(mean.shape))
        return self._add(f'{name}.any', node, mean, mean.shape, spikes=True)

    def _neuron(self, name, neuron, value, shape):
        if isinstance(neuron, StepNeuron) or type(neuron).forward is not Neuron.forward:
            raise self._error('its class computes its own dynamics; only IF, LIF and PLIF have a node of NIR')
        if not neuron.dynamics.hard_reset:
            raise self._error("NIR has no soft reset; only reset='hard' can be exported")
        dynamics, rate = neuron.dynamics, float(neuron.rate)
        threshold, reset = (np.full(shape, float(x)) for x in (dynamics.v_threshold, dynamics.v_reset))
        if rate == 0:
            node = self.nir.IF(np.full(shape, 1 / self.dt), threshold, reset)
        else:
            r, leak = (1.0, reset) if dynamics.decay_input else (1 / rate, np.zeros(shape))
            node = self.nir.LIF(np.full(shape, self.dt / rate), np.full(shape, r), leak, threshold, reset)
        return self._add(name, node, value, shape, spikes=True)

    def _refuse_integers(self, name, *_):
        raise self._error('an integer neuron sends counts, and NIR has binary spikes only')

    def _refuse_feedback(self, name, *_):
        raise self._error('its spikes go back into it, and the exporter writes networks without loops only')

    def _refuse_batch_norm(self, name, *_):
        raise self._error('a batch norm without a convolution before it cannot be merged')

    def _average(self, name, value, kernel, stride, padding):
        size = ((n + 2 * p - k) // s + 1 for n, k, s, p in zip(value.shape[1:], kernel, stride, padding))
        node = self.nir.AvgPool2d(*map(np.array, (kernel, stride, padding)))
        return self._add(name, node, value, (value.shape[0], *size))

    def _flatten(self, name, value):
        node = self.nir.Flatten({'input': np.array(value.shape)}, 0, -1)
        return self._add(name, node, value, (int(np.prod(value.shape)),))

    def _add(self, name, node, value, shape, spikes=False):
        # a layer that runs twice becomes two nodes
        self._names[name] += 1
        if self._names[name] > 1:
            name = f'{name}.{self._names[name]}'
        self.nodes[name] = node
        self._connect(value, name)
        return _Value((name,), tuple(shape), spikes)

    def _connect(self, value, target):
        self.edges += [(source, target) for source in value.sources]

    def _new(self, suffix):
        return f'{self._path[-1][0]}.{suffix}'.lstrip('.')

    def _value(self, x):
        if id(x) not in self._values:
            raise self._error('its input does not depend on the input of the network')
        return self._values[id(x)]

    def _set(self, x, value):
        self._values[id(x)] = value
        self._tensors.append(x)  # a reference, so that no other tensor gets the same id

    def _error(self, reason):
        name, module = self._path[-1] if self._path else ('', None)
        return A2SGError(
            f'NIR cannot express {name or "the whole network"} ({type(module).__name__}): {reason}. '
            'Export this network to ONNX'
        )


def _array(x):
    return x.detach().cpu().numpy()


def _pair(x):
    return (x, x) if isinstance(x, int) else tuple(x)
