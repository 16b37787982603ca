"""The surrogate that really acts in every layer of a network, measured.

A layer says that it has some surrogate: by its name, its arguments, its config. What acts in training may be another
one, and nothing tells: a name that a constructor ignores, an argument that a backward pass does not read, a sequence of
spikes that is cut from the graph. `probe` runs the neurons, puts a ramp in the place of z = u - v_threshold, and reads
from autograd what each spike sends back:

    f(z) = dL/dz / g,    g = dL/ds

It compares f with the surrogate that the layer declares.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from a2sg_zoo.adaptation.foreign.adapter import Declared
from a2sg_zoo.adaptation.layers import find_layers
from a2sg_zoo.analysis.measures.acting import TOLERANCE, Example, acts_like, measure, ramp
from a2sg_zoo.analysis.tables import cell
from a2sg_zoo.neurons import Neuron
from a2sg_zoo.utils.checks import integer, positive
from a2sg_zoo.utils.markdown import markdown_table
from a2sg_zoo.utils.packages import require
from a2sg_zoo.utils.randomness import random_state_restored

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class LayerProbe:
    """What was measured in one layer.

    Attributes:
        name: qualified name of the layer.
        neuron: name of its class.
        declared: the surrogate that the layer says it has.
        z: the ramp, (n,).
        acting: f(z) as measured, (T, n); one row if it is the same at all time steps; None if the neuron never called
            the spike function that it names.
        expected: f(z) as declared, of the shape of `acting`; None if the formula is not known.
        acts_like: the known shape that the measured one equals; None if there is none.
    """

    name: str
    neuron: str
    declared: str
    z: Tensor
    acting: Tensor | None
    expected: Tensor | None
    acts_like: str | None

    @property
    def difference(self) -> float | None:
        """The largest difference of acting and declared f, as a share of the declared peak; None if unknown."""
        if self.acting is None or self.expected is None and not self.peak:
            return float('inf')
        if self.expected is None:
            return None
        largest = (self.acting - self.expected).abs().max()
        return float(largest / self.expected.abs().max().clamp(min=torch.finfo(largest.dtype).tiny))

    @property
    def differs(self) -> bool:
        """Whether another surrogate acts than the declared one."""
        return self.difference is not None and not self.difference <= TOLERANCE

    @property
    def peak(self) -> float:
        """The largest |f|, over all time steps; 0 if nothing acts."""
        return 0.0 if self.acting is None else float(self.acting.abs().max())

    @property
    def area(self) -> float:
        """The integral of f over the ramp, averaged over the time steps."""
        return 0.0 if self.acting is None else float(torch.trapezoid(self.acting, self.z).mean())

    def row(self) -> list[str]:
        """The cells of the table."""
        acting = 'is never called' if self.acting is None else 'no gradient' if not self.peak else self.acts_like
        return [
            self.name or '(the network)',
            self.neuron,
            self.declared,
            f'{acting or "another shape"}{" (differs)" if self.differs else ""}',
            cell(self.peak),
            cell(self.area),
            'unknown' if self.difference is None else f'{self.difference:.1e}',
        ]


class Probe(dict):
    """{name of the layer: `LayerProbe`}; its text is a table.

    >>> import torch
    >>> from a2sg_zoo.neurons import LIF
    >>> found = probe(torch.nn.Sequential(torch.nn.Linear(3, 5), LIF(surrogate=dict(type='ATan'))))
    >>> found['1'].acts_like, found['1'].differs
    ('ATan, width 0.5', False)
    """

    def __str__(self) -> str:
        heads = ['layer', 'neuron', 'declared', 'acting', 'peak', 'area', 'difference']
        return markdown_table(heads, [layer.row() for layer in self.values()])

    __repr__ = __str__

    def figure(self, columns: int = 3) -> Figure:
        """A picture with one panel for each layer: the acting shape, and the declared one where they differ.

        Args:
            columns: number of panels side by side.

        Raises:
            MissingPackageError: matplotlib is not installed.
        """
        require('A picture of a probe', 'matplotlib')
        from a2sg_zoo.analysis.figures.style import new_figure, short_name, tidy
        from a2sg_zoo.utils.palette import BLUE, VERMILION

        columns = min(integer('columns', columns, 'figure'), len(self))
        rows = -(-len(self) // columns)
        figure = new_figure(3.4 * columns, 2.5 * rows)
        for i, layer in enumerate(self.values()):
            axes = tidy(figure.add_subplot(rows, columns, i + 1), title=f'{short_name(layer.name)}: {layer.neuron}')
            axes.title.set_fontsize(9)
            if layer.acting is not None:
                for f in layer.acting.cpu():
                    axes.plot(layer.z.cpu(), f, color=BLUE, lw=1.2, label='acting')
            if layer.expected is not None and layer.differs:
                for f in layer.expected.cpu():
                    axes.plot(layer.z.cpu(), f, color=VERMILION, ls='--', lw=1.2, label='declared')
            handles = dict(zip(*reversed(axes.get_legend_handles_labels())))
            if len(handles) > 1:
                axes.legend(handles.values(), handles.keys(), frameon=False, fontsize=7)
            axes.set_xlabel('z = u - threshold', fontsize=8)
        return figure

    def save(self, path: str | Path) -> Path:
        """Writes the picture to a file, whole or not at all. Its ending says the format: .png or .svg.

        Raises:
            MissingPackageError: matplotlib is not installed.
        """
        require('A picture of a probe', 'matplotlib')
        from a2sg_zoo.analysis.figures.style import save

        path = Path(path)
        return save(self.figure(), path.with_suffix(''), (path.suffix.lstrip('.') or 'png',))[0]


def probe(network: nn.Module, example: Example = None, reach: float = 3.0, points: int = 400) -> Probe:
    """Measures which surrogate acts in every layer of a network, attached to a policy or not.

    Nothing is changed: states of neurons, widths, statistics of norms, random numbers and the count of training steps
    are the same afterwards. Neurons run as in training.

    A warning names the layers in which another surrogate acts than they declare. Declared is: the surrogate of a neuron
    of this package; that of the policy, for an attached network; else what the library's documentation says of the
    name and the arguments that the neuron has.

    Args:
        network: a network with neurons of this package, of SpikingJelly, snnTorch, norse or BrainCog, or neurons that
            have an adapter.
        example: an input that the network takes, or a function that runs the network when it is called with it. Without
            it, every neuron runs alone. It is needed for neurons that do not run alone, such as convolutional ones.
        reach: the ramp goes from -reach to reach, in the unit of the membrane potential, and further for wide windows.
        points: number of its points, which lie densest near 0.

    Returns:
        {name: `LayerProbe`}, in the order of definition; `print` shows a table, `save` writes a picture.

    Raises:
        ConfigError: the network has no spiking neurons with a surrogate.
        A2SGError: a neuron does not run alone, and there is no example.

    >>> import torch
    >>> from a2sg_zoo.adaptation import A2SG, attach
    >>> from a2sg_zoo.neurons import LIF
    >>> network = torch.nn.Sequential(torch.nn.Linear(3, 5), LIF(T=4), torch.nn.Linear(5, 5), LIF(T=4))
    >>> _ = attach(network, A2SG())
    >>> print(probe(network))
    | layer | neuron | declared | acting | peak | area | difference |
    | --- | --- | --- | --- | --- | --- | --- |
    | 1 | LIF | ASY(beta=1.0, h=0.5), width 1 | ASY, width 1 | 0.999 | 1.013 | 0.0e+00 |
    | 3 | LIF | ASY(beta=1.0, h=0.5), width 1 | ASY, width 1 | 0.999 | 1.013 | 0.0e+00 |
    """
    layers = find_layers(network)
    widest = max(float(layer.beta.max()) for layer in layers.values())
    like = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(()))
    dtype = torch.promote_types(like.dtype, torch.float32)
    z = ramp(max(positive('reach', reach, 'probe'), 1.5 * widest), integer('points', points, 'probe', 8))
    with random_state_restored(like.device):
        curves = measure(network, layers, z.to(like.device, dtype), example)
    found = Probe({name: _compared(name, layer, *curves[name]) for name, layer in layers.items()})
    different = [f'{name} ({layer.neuron}: {layer.row()[3]})' for name, layer in found.items() if layer.differs]
    if different:
        warnings.warn(
            f'another surrogate acts than is declared in {", ".join(different)}; see the table of the probe',
            stacklevel=2,
        )
    return found


def _compared(name, layer, z, acting):
    module = getattr(layer, 'module', layer)
    if isinstance(layer, Neuron) or layer.policy is not None:
        widths = layer.beta.detach().to(z)
        low, high = float(widths.min()), float(widths.max())
        span = f'{low:.3g}' if low == high else f'{low:.3g} to {high:.3g}'
        declared = Declared(f'{layer.surrogate}, width {span}')
        expected = torch.stack([layer.surrogate(z, beta) for beta in widths])
    else:
        declared = layer.adapter.declared(module)
        expected = None if declared.shape is None else declared.shape(z).expand(1, -1)
    if acting is not None:
        rows = 1 if (acting == acting[0]).all() else len(acting)
        acting = acting[:rows]
        if expected is not None:
            expected = (expected[:1] if (expected == expected[0]).all() else expected).expand_as(acting)
    return LayerProbe(
        name,
        type(module).__name__,
        declared.text,
        z,
        acting,
        expected,
        None if acting is None else acts_like(z, acting),
    )
