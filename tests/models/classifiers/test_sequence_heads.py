"""The leaky readout and the voting head, step by step."""

import pytest
import torch

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.classifiers import ReadoutHead, VotingHead
from a2sg_zoo.models.classifiers.sequence_heads import leaky_sum
from a2sg_zoo.models.losses import RateMSE


@pytest.mark.parametrize('decay_input', [False, True])
def test_readout_step_by_step(decay_input):
    head = ReadoutHead(4, 3, tau=5.0, decay_input=decay_input, readout='potential').double()
    x, u, expected = torch.randn(30, 2, 4, dtype=torch.float64), 0.0, []
    for step in x:
        u = 0.8 * u + head.linear(step) * (0.2 if decay_input else 1.0)
        expected.append(u)
    torch.testing.assert_close(head(x), torch.stack(expected))
    head.readout = 'softmax'
    torch.testing.assert_close(head(x).mean(0), torch.stack(expected).softmax(2).sum(0))


def test_readout_integrates_in_float32():
    head = ReadoutHead(4, 3, tau=200.0, decay_input=False, readout='potential')
    x = (torch.rand(300, 2, 4) < 0.2).float()
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        u = head(x)
    assert u.dtype == torch.float32
    torch.testing.assert_close(u[-1], head(x)[-1], rtol=0.01, atol=0.02 * float(u[-1].abs().max()))
    assert torch.equal(head(x), leaky_sum(head.linear(x), 1 - 1 / head.tau))


def test_readout_is_causal_with_delays_too():
    head = ReadoutHead(4, 3, tau=5.0, readout='potential', max_delay=6).eval()
    x = torch.randn(12, 2, 4)
    torch.testing.assert_close(head(x)[:7], head(x[:7]))
    assert head.linear.max_delay == 6


def test_votes_are_means_of_spikes():
    head = VotingHead(4, 3, hidden=16, votes=5).eval()
    for layer in (head.layers[1], head.layers[4]):  # so that neurons fire
        layer.weight.data.mul_(6)
    seen = []
    head.layers[-1].register_forward_hook(lambda module, args, s: seen.append(s))
    rates = head(torch.randn(6, 2, 4) * 5)
    assert 0 < seen[0].mean() < 1
    torch.testing.assert_close(rates[..., 1], seen[0][..., 5:10].mean(-1))
    loss = head.loss(rates, torch.tensor([0, 2]))
    target = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])
    torch.testing.assert_close(loss, (rates.mean(0) - target).square().mean())
    torch.testing.assert_close(RateMSE()(rates, target), loss)


@pytest.mark.parametrize(
    'make, keys',
    [
        (lambda: ReadoutHead(4, 3, tau=0.5), 'tau.*0.5'),
        (lambda: ReadoutHead(4, 3, readout='max'), "readout.*'max'"),
        (lambda: ReadoutHead(4, 3, max_delay=0), 'max_delay'),
        (lambda: ReadoutHead(4, 3, loss=dict(type='TET')), "TET.*readout='potential'"),
        (lambda: ReadoutHead(4, 3, loss=dict(type='RateMSE')), "RateMSE.*readout='potential'"),
        (lambda: VotingHead(4, 3, votes=0), 'votes'),
        (lambda: VotingHead(4, 3, dropout=1), 'dropout'),
        (lambda: VotingHead(4, 3, grid=2)(torch.rand(2, 1, 4)), 'grid = 2'),
    ],
)
def test_mistakes(make, keys):
    with pytest.raises(ConfigError, match=keys):
        make()
