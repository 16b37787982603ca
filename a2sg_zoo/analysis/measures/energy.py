"""Firing rates, sparsity, operations and energy of a spiking network's inference.

    E = 4.6 pJ * MACs + 0.9 pJ * SOPs

The sum is over the layers with weights (convolutions and linear layers) and the matrix products of attention. A layer
with real-valued input multiplies and adds: MACs (multiply-accumulates). A layer with spikes as input only adds:

    SOPs = MACs of the layer in one time step * mean number of spikes of an input value in one time step * T

4.6 pJ is the energy of a 32-bit multiply-accumulate and 0.9 pJ that of a 32-bit addition, at 45 nm (Horowitz, ISSCC
2014). Papers of the field use the same sum. It leaves out memory, the updates of neurons (of a PSN, too, which
multiplies with T values a time step; the feedback of `Recurrent` counts as a layer), batch norms (they can be
merged into the weights), pooling, biases, the additions of shortcuts, and masks (products of spikes element by element,
as in QKFormer's token attention and in the first Spike-driven Transformer).

Whether a layer counts MACs or SOPs depends on the input it receives:

- Whole, non-negative numbers are spikes. A number n counts as n spikes, because a sum of spikes can be added one by one
  (the sums of SEW-ResNet's ADD and of Spikformer's shortcuts, or counts in event frames). After an ILIF neuron, which
  sends n / levels, the unit is 1 / levels: n spikes, those of the `levels` time steps that the value stands for.
- All other values are real: images, membrane potentials, averages of spikes. So the first convolution after an average
  pooling (VGGSNN) and the linear layer after the head's mean over space multiply, unless they average single values.
  A layer that receives real values in one batch counts as real in all. An image (B, C, H, W) is always real. Layers are
  counted as they are built: the second of two convolutions without a neuron between them multiplies, although the two
  convolutions of a re-parameterisable pair could be merged into one that adds.
- A static image is encoded once, not T times, and layers after a mean over time run once. Their MACs count once. So
  do those of a detector's head, which takes features averaged over time.
- A matrix product A B of attention adds a row of one factor for each spike of the other. Where both factors are spikes,
  the factor with fewer spikes is taken. A factor that is itself a product (K^T V) does not count as spikes. A product
  of two real factors multiplies.

Pixels at the border count as if no input were in the padding.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.classifiers import SpikingClassifier
from a2sg_zoo.models.layers import DelayLinear
from a2sg_zoo.neurons import Recurrent
from a2sg_zoo.neurons.fused import step_by_step
from a2sg_zoo.registry import NEURONS

PJ_MAC, PJ_SOP = 4.6, 0.9

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# at inference a synapse with a delay has one tap
_LINEAR = (nn.Linear, DelayLinear)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_PRODUCTS = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm, torch.Tensor.bmm)
# functions that must not be called outside of the layers above, because they would not be counted
_UNSEEN = (
    F.linear,
    F.conv1d,
    F.conv2d,
    F.conv3d,
    F.conv_transpose1d,
    F.conv_transpose2d,
    F.conv_transpose3d,
    F.bilinear,
    F.scaled_dot_product_attention,
    F.multi_head_attention_forward,
    torch.einsum,
    torch.addmm,
    torch.baddbmm,
    torch.mm,
    torch.Tensor.mm,
)
_TOLERANCE = 1e-4


def measure_energy(model: nn.Module, batches: Iterable[torch.Tensor]) -> dict[str, Any]:
    """Count the spikes, operations and energy of a network, by the rules at the head of this module.

    Args:
        model: a `SpikingClassifier`, a segmentor, or a backbone, in eval mode. A classifier runs `test_T` time steps,
            and looks at each image once, whatever `test_cfg.flip`.
        batches: normalised images (B, C, H, W); or frames as the model takes them, (B, T, C, H, W) for a classifier
            and (T, B, C, H, W) for a backbone. At least one image.

    Returns:
        A dictionary. All counts are means over the images.
            parameters: number of parameters.
            macs: multiply-accumulates of the layers with real-valued input, of all time steps together.
            sops: additions caused by spikes in all other layers.
            energy_pj: 4.6 macs + 0.9 sops, in picojoules.
            firing_rate: mean number of spikes of a neuron in one time step, over all neurons of the network.
            sparsity: share of zeros in the neurons' outputs.
            T: number of time steps.
            rates: {name of a layer of neurons: its firing rate}; at most 1, or `levels` for an ILIF.
            layers: in the order of execution, dictionaries with name, kind ('Conv2d', ..., 'matmul'), macs (of one time
                step, as if no input were zero), steps (how often the layer runs: T or 1), input ('real' or 'spikes'),
                input_rate (spikes of an input value in one time step; None for real input), sops and energy_pj.

    Raises:
        ConfigError: the model is in training mode, its T is not known, the time steps of a layer cannot be told from
            its input, or the model computes products that are not counted (`torch.einsum`, `F.conv2d`, ...).

    Example:
        >>> import torch
        >>> from a2sg_zoo.analysis.measures.energy import measure_energy
        >>> from a2sg_zoo.models.backbones import VGGSNN
        >>> backbone = VGGSNN(widths=(4, 8), in_channels=3, T=2).eval()
        >>> found = measure_energy(backbone, [torch.rand(5, 3, 8, 8)])
        >>> [(layer['name'], layer['macs'], layer['input']) for layer in found['layers']]
        [('features.0.project.conv', 6912.0, 'real'), ('features.1.project.conv', 18432.0, 'spikes')]
    """
    if model.training:
        raise ConfigError(
            'energy: the network is in training mode, in which batch norms use the batch; call model.eval() first'
        )
    classifier = model if isinstance(model, SpikingClassifier) else None
    backbone = getattr(model, 'backbone', model)
    T = getattr(backbone, 'T', None) if classifier is None else classifier.test_T
    if T is None:
        raise ConfigError(f'energy: {type(backbone).__name__} has no attribute T, its number of time steps')
    meter = _Meter(model, T)
    with torch.no_grad(), step_by_step(), meter:
        for inputs in batches:
            if classifier is not None:
                inputs = classifier.test_inputs(inputs)
            meter.begin(inputs)
            model(inputs, **({} if classifier is None else dict(T=T)))
    if not meter.images:
        raise ConfigError('energy: there is no batch to measure on')
    layers = [record.summary(name, meter.images) for name, record in meter.layers.items()]
    macs = sum(x['macs'] * x['steps'] for x in layers if x['input'] == 'real')
    sops = sum(x['sops'] for x in layers)
    outputs = sum(n for _, _, n in meter.outputs.values())
    return dict(
        parameters=sum(p.numel() for p in model.parameters()),
        macs=macs,
        sops=sops,
        energy_pj=PJ_MAC * macs + PJ_SOP * sops,
        firing_rate=sum(spikes for spikes, _, _ in meter.outputs.values()) / max(outputs, 1),
        sparsity=1 - sum(nonzero for _, nonzero, _ in meter.outputs.values()) / max(outputs, 1),
        T=T,
        rates={name: spikes / n for name, (spikes, _, n) in meter.outputs.items()},
        layers=layers,
    )


def ann_energy(found: dict[str, Any]) -> dict[str, float]:
    """Return the energy of each layer in the same network without spikes and time: 4.6 pJ * MACs of one time step.

    Args:
        found: from `measure_energy`.

    Returns:
        {name of the layer: energy in picojoules}.
    """
    return {layer['name']: PJ_MAC * layer['macs'] for layer in found['layers']}


class _Layer:
    """Running sums of one layer or matrix product."""

    def __init__(self, kind):
        self.kind, self.real, self.steps = kind, False, 1
        self.macs = self.dense = self.sops = 0

    def add(self, macs, steps, rate):
        """Add a batch: macs of all images and time steps; rate in spikes of an input value, None for real input."""
        self.steps = max(self.steps, steps)
        self.dense += macs
        self.macs += macs / steps
        if rate is None:
            self.real = True
        else:
            self.sops += macs * rate

    def summary(self, name, images):
        sops = 0.0 if self.real else self.sops / images
        energy = PJ_MAC * self.dense / images if self.real else PJ_SOP * sops
        return dict(
            name=name,
            kind=self.kind,
            macs=self.macs / images,
            steps=self.steps,
            input='real' if self.real else 'spikes',
            input_rate=None if self.real else self.sops / self.dense,
            sops=sops,
            energy_pj=energy,
        )


class _Meter(TorchFunctionMode):
    """Sees every layer through hooks, and matrix products of tensors as a mode of torch functions."""

    def __init__(self, model, T):
        super().__init__()
        self.model, self.T, self.images = model, T, 0
        # regions of pictures, of which there is any number, have no time steps
        self._without_time = getattr(model, 'without_time', ())
        self.layers, self.outputs = {}, {}
        self._hooks, self._within = ExitStack(), []
        # a data preprocessor runs before the first batch begins
        self._unit, self._product = 1.0, None

    def begin(self, inputs):
        self._image = inputs if inputs.dim() == 4 else None
        batch_first = inputs.dim() == 4 or hasattr(self.model, 'backbone')
        self._B = inputs.shape[0 if batch_first else 1]
        self.images += self._B
        # the value of one spike; an ILIF changes it
        self._unit, self._product = 1.0, None

    def __enter__(self):
        neurons = tuple(NEURONS.module_dict.values())
        for name, module in self.model.named_modules():
            weighted = isinstance(module, (*_CONVS, *_TRANSPOSED, *_LINEAR))
            is_neuron = isinstance(module, neurons)
            unit = module.unit if isinstance(module, Recurrent) else None
            handles = [
                module.register_forward_pre_hook(self._entered(name, weighted or is_neuron, unit)),
                module.register_forward_hook(self._left, always_call=True),
            ]
            if is_neuron:
                handles.append(module.register_forward_hook(self._fired(name)))
            elif weighted:
                handles.append(module.register_forward_hook(self._ran(name)))
            for handle in handles:
                self._hooks.callback(handle.remove)
        return super().__enter__()

    def __exit__(self, *exception):
        self._hooks.close()
        return super().__exit__(*exception)

    def _entered(self, name, counted, unit):
        def hook(module, args):
            # the feedback inside gets the spikes of its own layer
            self._unit = unit or self._unit
            self._within.append([name, counted, 0])  # the last entry counts the matrix products in this module

        return hook

    def _left(self, module, args, output):
        self._within.pop()

    def _fired(self, name):
        def hook(module, args, output):
            self._unit = getattr(module, 'unit', 1.0)
            spikes, nonzero, n = self.outputs.get(name, (0, 0, 0))
            self.outputs[name] = (
                spikes + output.sum(dtype=torch.float64).item() / self._unit,
                nonzero + output.count_nonzero().item(),
                n + output.numel(),
            )

        return hook

    def _ran(self, name):
        def hook(module, args, output):
            x = args[0]
            if isinstance(module, _LINEAR):
                macs = output.numel() * module.in_features
                alone = getattr(module, 'one_step_a_call', False)
                steps = self.T if alone else self._steps(x, name, folded=x.dim() < 3)
            else:
                # a convolution has a whole kernel for each output value, a transposed one for each input value
                ends = (
                    x.numel() * module.out_channels
                    if isinstance(module, _TRANSPOSED)
                    else output.numel() * module.in_channels
                )
                macs = ends * module.weight[0, 0].numel() // module.groups
                steps = self._steps(x, name, folded=True)
            rate = None if x is self._image else self._rate(x)
            self.layers.setdefault(name, _Layer(type(module).__name__)).add(macs, steps, rate)

        return hook

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if self._within:
            name, counted, _ = self._within[-1]
            if func in _PRODUCTS and not counted:
                self._multiplied(*(*args, *(kwargs or {}).values())[:2], output)
            elif func in _UNSEEN and not counted:
                raise ConfigError(
                    f'energy: {name or "the network"} calls {func.__name__}, which is not counted; '
                    'use a layer (nn.Conv2d, nn.Linear, ...) or, for attention, torch.matmul'
                )
        return output

    def _multiplied(self, a, b, output):
        within = self._within[-1]
        within[2] += 1
        name = f'{within[0]}.matmul{within[2]}'.lstrip('.')
        rates = [self._rate(x) for x in (a, b) if self._product is None or x.data_ptr() != self._product.data_ptr()]
        rates = [rate for rate in rates if rate is not None]
        self.layers.setdefault(name, _Layer('matmul')).add(
            output.numel() * a.shape[-1], self._steps(output, name, folded=False), min(rates, default=None)
        )
        # a reference, so that no other tensor gets the same address
        self._product = output

    def _rate(self, x):
        """Mean number of spikes of an element of x, or None where x is real."""
        counts = x.float() / self._unit
        whole = counts.round()
        # NaN and infinity count as real
        if not ((counts >= 0) & ((counts - whole).abs() <= _TOLERANCE)).all():
            return None
        return whole.mean(dtype=torch.float64).item()

    def _steps(self, x, name, folded):
        """Time steps in a tensor (T * B, ...) or, unless folded, perhaps (T, B, ...); 1 for (B, ...)."""
        if name.partition('.')[0] in self._without_time:
            return 1
        if not folded and x.dim() > 2 and tuple(x.shape[:2]) == (self.T, self._B) or len(x) % (self.T * self._B) == 0:
            return self.T
        if len(x) % self._B == 0:
            return 1
        raise ConfigError(
            f'energy: {name} received a tensor of shape {tuple(x.shape)} for T = {self.T} time steps and a batch of '
            f'{self._B}, which does not show its time steps; the first two axes must be time and batch'
        )
