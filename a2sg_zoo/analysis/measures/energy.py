"""Firing rates, sparsity, operations and energy of a spiking network's inference.

    E = 4.6 pJ * MACs + 0.9 pJ * SOPs

over the layers with weights (convolutions, linear layers) and the products of attention. A layer whose input is
real-valued multiplies: MACs. A layer whose input is spikes adds: SOPs = MACs it would need * mean spikes of an input
value and time step * T. The energies are those of a 32-bit multiply-accumulate and of a 32-bit addition at 45 nm
(Horowitz, ISSCC 2014), and the sum is the convention of the field's papers. It leaves out memory, neurons' updates,
batch norm (folded into the weights), pooling, biases, additions of shortcuts, and masks (a product of spikes element
by element is a gate, as in QKFormer's token attention or the first Spike-driven Transformer's).

What is what is decided by a layer's actual input:

- Whole, non-negative numbers are spikes; n counts as n of them, since a sum of spikes can be added one by one (the
  sums of SEW-ResNet's ADD, of Spikformer's shortcuts, event frames of counts). If the last neuron was an ILIF, with
  outputs n / levels, the unit is 1 / levels: n spikes, those of the `levels` time steps that it stands for.
- All else is real: images, membrane potentials, averages of spikes. So the first convolution after an average
  pooling (VGGSNN) and the linear layer after the head's mean over space multiply, unless they average single values.
  A layer that sees real values in one batch is real in all. An image given as (B, C, H, W) is always real. Layers
  are counted as they are built: the second of two convolutions without a neuron between them multiplies, although
  the two of a re-parameterisable pair could be merged into one that adds.
- A static image is encoded once, not T times, and what follows a mean over time runs once; their MACs count once.
- A product of attention, A B, adds for each spike of one factor a row of the other. Where both factors are spikes,
  the one with fewer spikes is taken; a factor that is itself a product (K^T V) does not count as spikes. A product
  of two real factors multiplies.

Border pixels count as if no input lay in the padding.
"""

from contextlib import ExitStack, contextmanager

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons.fused import step_by_step
from a2sg_zoo.registry import NEURONS

PJ_MAC, PJ_SOP = 4.6, 0.9

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_PRODUCTS = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm, torch.Tensor.bmm)
# what would go uncounted if it came from anywhere but the layers and products above
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


def activity(model, batches):
    """Counts a network's spikes, operations and energy, by the rules at the head of this module.

    Args:
        model: a `SpikingClassifier` (run with its `test_T` time steps), a segmentor, or a backbone, in eval mode.
        batches: tensors of images (B, C, H, W), normalised; or frames as the model takes them: (B, T, C, H, W) for a
            classifier, (T, B, C, H, W) for a backbone. At least one image.

    Returns:
        dict, all counts means over the images:
            parameters: number of parameters.
            macs: multiply-accumulates of the layers with real-valued input, all time steps together.
            sops: additions caused by spikes in all others.
            energy_pj: 4.6 macs + 0.9 sops, in picojoule.
            firing_rate: spikes a neuron and time step, all neurons of the network alike.
            sparsity: share of zeros in the neurons' outputs.
            T: time steps.
            rates: {name of a neuron layer: its firing rate}; at most 1, or an ILIF's `levels`.
            layers: in order of execution, dicts of name, kind ('Conv2d', ..., 'matmul'), macs (dense, of one time
                step), steps (how often it runs: T or 1), input ('real' or 'spikes'), input_rate (spikes an input
                value and time step; None for real input), sops, energy_pj.

    Raises:
        ConfigError: the model is in training mode, T is not known, a layer's time steps cannot be told, or the model
            computes products in a way that goes uncounted here (`torch.einsum`, `F.conv2d` of its own, ...).
    """
    if model.training:
        raise ConfigError(
            'activity: the network is in training mode, where batch norms see the batch; call model.eval() first'
        )
    with _time_steps(model) as T, torch.no_grad():
        meter = _Meter(model, T)
        with step_by_step(), meter:
            for inputs in batches:
                meter.begin(inputs)
                model(inputs)
    if not meter.images:
        raise ConfigError('activity: there was no batch to measure on')
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


def ann_energy(found):
    """{layer: picojoule} of the same network without spikes and time: every layer runs once, with 4.6 pJ a MAC.

    Args:
        found: from `activity`. Its layers' dense MACs are those of one time step.
    """
    return {layer['name']: PJ_MAC * layer['macs'] for layer in found['layers']}


@contextmanager
def _time_steps(model):
    """T of inference, set on the backbone for the time of the measurement."""
    backbone = getattr(model, 'backbone', model)
    trained = getattr(backbone, 'T', None)
    if trained is None:
        raise ConfigError(f'activity: {type(backbone).__name__} has no attribute T, its number of time steps')
    backbone.T = getattr(model, 'test_T', trained)
    try:
        yield backbone.T
    finally:
        backbone.T = trained


class _Layer:
    """Running sums of one layer or product."""

    def __init__(self, kind):
        self.kind, self.real, self.steps = kind, False, 1
        self.macs = self.dense = self.sops = 0

    def add(self, macs, steps, rate):
        """macs: of the whole batch and all steps; rate: spikes an input value, None for real input."""
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
    """Sees every layer through hooks, and matrix products of tensors as a mode of torch's functions."""

    def __init__(self, model, T):
        super().__init__()
        self.model, self.T, self.images = model, T, 0
        self.layers, self.outputs = {}, {}
        self._hooks, self._within = ExitStack(), []

    def begin(self, inputs):
        self._image = inputs if inputs.dim() == 4 else None
        batch_first = inputs.dim() == 4 or hasattr(self.model, 'backbone')
        self._B = inputs.shape[0 if batch_first else 1]
        self.images += self._B
        # one spike's size, until a neuron says otherwise
        self._unit, self._product = 1.0, None

    def __enter__(self):
        neurons = tuple(NEURONS.module_dict.values())
        for name, module in self.model.named_modules():
            weighted = isinstance(module, (*_CONVS, *_TRANSPOSED, nn.Linear))
            handles = [
                module.register_forward_pre_hook(self._entered(name, weighted)),
                module.register_forward_hook(self._left, always_call=True),
            ]
            if isinstance(module, neurons):
                handles.append(module.register_forward_hook(self._fired(name)))
            elif weighted:
                handles.append(module.register_forward_hook(self._ran(name)))
            for handle in handles:
                self._hooks.callback(handle.remove)
        return super().__enter__()

    def __exit__(self, *exception):
        self._hooks.close()
        return super().__exit__(*exception)

    def _entered(self, name, weighted):
        def hook(module, args):
            # the number of products so far is the third
            self._within.append([name, weighted, 0])

        return hook

    def _left(self, module, args, output):
        self._within.pop()

    def _fired(self, name):
        def hook(module, args, output):
            self._unit = 1 / getattr(module, 'levels', 1)
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
            if isinstance(module, nn.Linear):
                macs, steps = output.numel() * module.in_features, self._steps(x, name, folded=x.dim() < 3)
            else:
                # a convolution meets each output value, a transposed one each input value, with a whole window
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
            name, weighted, _ = self._within[-1]
            if func in _PRODUCTS:
                self._multiplied(*(*args, *(kwargs or {}).values())[:2], output)
            elif func in _UNSEEN and not weighted:
                raise ConfigError(
                    f'activity: {name or "the network"} calls {func.__name__}, which is not counted; '
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
        # kept alive, so that no other tensor comes to lie at its address
        self._product = output

    def _rate(self, x):
        """Spikes an element of x, or None where x is real."""
        counts = x.float() / self._unit
        whole = counts.round()
        # written so that NaN and infinity are real, too
        if not ((counts >= 0) & ((counts - whole).abs() <= _TOLERANCE)).all():
            return None
        return whole.mean(dtype=torch.float64).item()

    def _steps(self, x, name, folded):
        """Time steps in a tensor (T * B, ...) or, unless folded, perhaps (T, B, ...); 1 for (B, ...)."""
        if not folded and x.dim() > 2 and tuple(x.shape[:2]) == (self.T, self._B) or len(x) % (self.T * self._B) == 0:
            return self.T
        if len(x) % self._B == 0:
            return 1
        raise ConfigError(
            f'activity: {name} saw a tensor of shape {tuple(x.shape)} for T = {self.T} time steps and '
            f'batches of {self._B}, from which its time steps cannot be told; time and batch come first'
        )
