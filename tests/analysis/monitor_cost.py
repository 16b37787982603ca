"""Prints what a monitored training step costs, as a ratio to the same step without, from interleaved runs.

python -m tests.analysis.monitor_cost
"""

from statistics import median
from time import process_time

import torch
from torch import nn

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.analysis.monitor import monitor
from a2sg_zoo.neurons import LIF
from a2sg_zoo.neurons.fused import step_by_step
from tests.adaptation.foreign.networks import reset
from tests.adaptation.foreign.test_equality import sj

T, BATCH = 4, 16


class Network(nn.Module):
    """Six layers of neurons behind convolutions of 64 channels, on pictures of 32 x 32."""

    def __init__(self, make):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3 if i == 0 else 64, 64, 3, padding=1) for i in range(6))
        self.neurons = nn.ModuleList(make(64) for _ in range(6))

    def forward(self, x):
        for conv, neuron in zip(self.convs, self.neurons):
            x = neuron(conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        return x


def step(network, x):
    reset(network)
    network.zero_grad()
    start = process_time()
    network(x).square().mean().backward()
    return process_time() - start


def ratio(make, policy, rounds=7):
    torch.manual_seed(0)
    network, x = Network(make), torch.rand(T, BATCH, 3, 32, 32)
    if policy is not None:
        attach(network, policy)
    step(network, x)
    ratios = []
    for _ in range(rounds):
        alone = step(network, x)
        with monitor(network):
            watched = step(network, x)
        ratios.append(watched / alone)
    return median(ratios)


def main():
    for name, make in {'ours': lambda features: LIF(), 'SpikingJelly': sj('LIFNode', tau=2.0)}.items():
        for policy in (None, A2SG()):
            with step_by_step():
                print(f'{name}, {policy and "A2SG"}: {ratio(make, policy):.2f}')


if __name__ == '__main__':
    torch.set_num_threads(1)
    main()
