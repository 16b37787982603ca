"""What the tests of the baselines share: a small network in the two forms in which policies meet one."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import nn

from a2sg_zoo.adaptation import attach
from a2sg_zoo.neurons import LIF, multistep_reference


class Network(nn.Module):
    """Two layers of neurons, of thresholds 1 and 1/2, behind linear maps: (T, B, 6) to (T, B, 5)."""

    def __init__(self, kind=LIF, **neuron):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 40), kind(**neuron)
        self.fc2, self.lif2 = nn.Linear(40, 30), kind(v_threshold=0.5, **neuron)
        self.readout = nn.Linear(30, 5)

    def forward(self, x):
        return self.readout(self.lif2(self.fc2(self.lif1(2 * self.fc1(x)))))

    def reference(self, x, surrogates, betas):
        """The same in plain autograd, under given shapes and windows."""
        s = x
        for fc, lif, gain, surrogate, beta in zip(
            (self.fc1, self.fc2), (self.lif1, self.lif2), (2, 1), surrogates, betas
        ):
            s = multistep_reference(gain * fc(s), lif.rate, lif.dynamics, surrogate, beta)
        return self.readout(s)


def network(policy, kind=LIF, **neuron):
    torch.manual_seed(1)
    model = Network(kind, **neuron).double()
    attach(model, policy)
    return model


def step(model, policy, x, **begin):
    """One forward and backward pass; returns the gradients."""
    policy.begin(**{'iteration': 0, **begin})
    model.zero_grad()
    model(x).square().mean().backward()
    return [p.grad.clone() for p in model.parameters()]


def assert_gradients_are_those_of_the_windows(policy, x, kind=LIF, **begin):
    """One step under the policy, against plain autograd with the windows that the step left behind."""
    for neuron in (dict(), dict(reset='soft', detach_reset=False)):
        model = network(policy, kind, **neuron)
        ours = step(model, policy, x, **begin)
        neurons = model.lif1, model.lif2
        out = model.reference(x, [n.surrogate for n in neurons], [n.beta for n in neurons])
        expected = torch.autograd.grad(out.square().mean(), list(model.parameters()))
        assert any(g.abs().max() > 0 for g in expected)
        for a, b in zip(ours, expected):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)


def assert_eval_mode_does_nothing(policy, x, kind=LIF):
    model = network(policy, kind).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    policy.begin(0, observe=True, progress=0.5)
    model(x).sum().backward()
    model.train()
    with torch.no_grad():
        model(x)
    after = model.state_dict()
    assert not policy.records and before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


class Classifier(BaseModel):
    """A network with everything that a probe could disturb: batch norm, dropout, a mixing of its inputs."""

    def __init__(self, kind=LIF, dropout=0.2, **neuron):
        super().__init__(BaseDataPreprocessor())
        self.unused = nn.BatchNorm1d(3)
        self.fc1, self.bn, self.lif1 = nn.Linear(6, 12), nn.BatchNorm1d(12), kind(**neuron)
        self.dropout = nn.Dropout(dropout)
        self.fc2, self.lif2 = nn.Linear(12, 20), kind(v_threshold=0.5, **neuron)
        self.readout = nn.Linear(20, 5)

    def forward(self, inputs, labels=None, mode='tensor'):
        x = self.dropout(self.lif1(self.bn(self.fc1(inputs)).expand(3, -1, -1)))
        logits = self.readout(self.lif2(2 * self.fc2(x)).mean(0))
        return dict(loss=F.cross_entropy(logits, labels)) if mode == 'loss' else logits


def batch(size=64):
    generator = torch.Generator().manual_seed(3)
    return dict(inputs=torch.randn(size, 6, generator=generator), labels=torch.randint(5, (size,), generator=generator))
