"""Small networks in float64 whose curvature can be computed densely."""

import torch
from torch import nn

from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.models.classifiers import SpikingClassifier
from a2sg_zoo.neurons import LIF


def save_run_checkpoint(weights, path, iteration):
    """A checkpoint as a run saves it, of a run that never took a step."""
    state = dict(
        state_dict=weights,
        optimizer=dict(state={}, param_groups=[]),
        message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}),
        meta=dict(iter=iteration, epoch=0),
    )
    torch.save(state, path)
    (path.parent / 'last_checkpoint').write_text(str(path))


class Perceptron(nn.Module):
    """Two spiking layers and a linear readout of their mean over time; logits (B, classes)."""

    def __init__(self, surrogate, inputs=5, width=6, classes=3, T=3, neuron=LIF, **kwargs):
        super().__init__()
        self.T = T
        self.fc1, self.fc2, self.out = nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, classes)
        self.neuron1, self.neuron2 = (neuron(surrogate=surrogate, **kwargs) for _ in range(2))

    def forward(self, x):
        x = self.neuron1(self.fc1(x).expand(self.T, -1, -1))
        return self.out(self.neuron2(self.fc2(x)).mean(0))


def cross_entropy(model, inputs, targets):
    return nn.functional.cross_entropy(model(inputs), targets)


def perceptron(surrogate, sizes=(5, 4), scale=2.0, **kwargs):
    """An objective on a `Perceptron`; batches of unequal sizes, currents that make neurons fire."""
    model = Perceptron(surrogate, **kwargs).double()
    with torch.no_grad():
        for layer in (model.fc1, model.fc2):
            layer.weight.mul_(scale)
            layer.bias.add_(0.8)
    batches = [(torch.randn(n, 5, dtype=torch.float64), torch.arange(n) % 3) for n in sizes]
    return Objective(model, batches, cross_entropy)


def classifier(**kwargs):
    return SpikingClassifier(
        dict(
            type='SpikingResNet',
            depths=(1,),
            widths=(4,),
            stem=4,
            T=2,
            tdbn=True,
            time='keep',
            neuron=dict(type='LIF', tau=2.0, decay_input=False),
        ),
        dict(type='LinearHead', in_channels=4, num_classes=3),
        **kwargs,
    )


def classifier_objective(dtype=torch.float64, sizes=(4, 3), **kwargs):
    """An objective on a spiking ResNet of one block whose batch norms have seen data."""
    model = classifier(**kwargs).to(dtype)
    batches = [(torch.randn(n, 3, 8, 8, dtype=dtype), torch.arange(n) % 3) for n in sizes]
    with torch.no_grad():
        for _ in range(5):
            model.train()(batches[0][0])
    return Objective(model, batches)
