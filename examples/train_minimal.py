"""Train a spiking network on digits with A2SG, in plain PyTorch: python examples/train_minimal.py [EPOCHS]"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import a2sg_zoo
from a2sg_zoo.neurons import LIF

torch.manual_seed(0)
epochs, T = int(sys.argv[1]) if len(sys.argv) > 1 else 10, 4

# the data: 1,797 grey images of 8x8 pixels; every fifth one is a test image
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1  # (N, 1, 8, 8), from -1 to 1
labels = torch.tensor(digits.target)
number = torch.arange(len(labels))
train, test = number[number % 5 != 0], number[number % 5 == 0]


class SpikingNetwork(nn.Module):
    """Two convolutions and a linear layer with leaky integrate-and-fire neurons between them."""

    def __init__(self, T: int) -> None:
        super().__init__()
        self.T = T
        self.conv1, self.norm1, self.lif1 = nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), LIF(T=T)
        self.conv2, self.norm2, self.lif2 = nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), LIF(T=T)
        self.linear = nn.Linear(64 * 4 * 4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (B, 1, 8, 8) to logits (B, 10)."""
        x = self.norm1(self.conv1(x))  # the image is the same at every time step, so this runs once
        s = self.lif1(x.expand(self.T, *x.shape))  # spikes (T, B, 32, 8, 8)
        x = self.norm2(F.max_pool2d(self.conv2(s.flatten(0, 1)), 2))  # time steps count as images here
        s = self.lif2(x.unflatten(0, s.shape[:2]))  # spikes (T, B, 64, 4, 4)
        return self.linear(s.flatten(2)).mean(0)


network = SpikingNetwork(T)
layers = a2sg_zoo.attach(network, a2sg_zoo.A2SG())  # from here on, every backward pass adapts the surrogate gradient
optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
for epoch in range(1, epochs + 1):
    network.train()
    for batch in train[torch.randperm(len(train))].split(64):
        loss = F.cross_entropy(network(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        accuracy = (network(images[test]).argmax(1) == labels[test]).float().mean()
    print(f'epoch {epoch}: loss {loss:.3f}, test accuracy {100 * accuracy:.1f} %')
for name, layer in layers.items():
    print(f'{name}: width of the surrogate at each time step {[round(beta, 2) for beta in layer.beta.tolist()]}')
