"""Encodings: equal to SpikingJelly's and snnTorch's, seeded, and part of a classifier by one config line."""

import copy

import pytest
import torch

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.export.deployed import exportable
from a2sg_zoo.models.encoders import DirectEncoder, LatencyEncoder, PoissonEncoder, WeightedPhaseEncoder
from a2sg_zoo.registry import MODELS
from tests.models.encoders.equality import STEPS, images, pairs

NETWORK = dict(
    type='SpikingClassifier',
    backbone=dict(type='SpikingResNet', depths=(1,), widths=(8,), stem=8, T=4, time='keep'),
    head=dict(type='LinearHead', in_channels=8, num_classes=10),
)
ALL = ['DirectEncoder', 'PoissonEncoder', 'LatencyEncoder', 'WeightedPhaseEncoder', 'DeltaEncoder']


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('T', STEPS)
def test_equal_to_the_references(T, dtype):
    pytest.importorskip('spikingjelly', reason='a peer')
    pytest.importorskip('snntorch', reason='a peer')
    for encoder, reference, ours, theirs in pairs(T, dtype):
        assert ours.dtype == dtype
        assert torch.equal(ours, theirs.to(dtype)), f'{encoder}, {reference}'


def test_rates_of_poisson_spikes():
    encoder, x = PoissonEncoder(gain=2), torch.linspace(0, 1, 11).expand(50, 11)
    for mode in (True, False):
        # in evaluation all 50 samples see the same numbers
        rates = encoder.train(mode)(x, 4000 if mode else 20_000).mean((0, 1))
        assert rates[0] == 0 and rates[5:].eq(1).all()  # never at 0, always from 1 on
        assert (rates - (2 * x[0]).clamp(max=1)).abs().max() < 0.02


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_poisson_spikes_of_half_precision(dtype):
    encoder, x = PoissonEncoder().eval(), torch.full((1, 1000), 0.5, dtype=dtype)
    assert torch.equal(encoder(x, 8), encoder(x.float(), 8).to(dtype))


def test_snntorch_rate_has_the_same_rates():
    spikegen = pytest.importorskip('snntorch.spikegen', reason='a peer')
    x = torch.linspace(0, 1, 5).expand(100, 5)
    theirs = spikegen.rate(x, 1000, gain=0.7).mean((0, 1))
    assert (PoissonEncoder(gain=0.7)(x, 1000).mean((0, 1)) - theirs).abs().max() < 0.01


def test_evaluation_draws_for_each_image_alone():
    encoder, x = PoissonEncoder().eval(), images(3).float()
    together = encoder(x, 8)
    torch.rand(5)  # the process's generator plays no part
    assert encoder(x, 8).equal(together) and encoder(x[2:3], 8).equal(together[:, 2:3])
    assert encoder(x, 4).equal(together[:4])
    assert not PoissonEncoder(seed=1).eval()(x, 8).equal(together)
    state = torch.get_rng_state()
    encoder(x, 8)
    assert torch.get_rng_state().equal(state)


def test_training_draws_from_the_generator_of_the_process():
    encoder, x = PoissonEncoder(), images(3).float()
    torch.manual_seed(3)
    first, second = encoder(x, 4), encoder(x, 4)
    torch.manual_seed(3)
    assert encoder(x, 4).equal(first) and not first.equal(second)


def test_a_latency_of_many_steps():
    """exp(T - 1) is beyond float64."""
    x = torch.tensor([0.0, 1e-4, 0.5, 1.0], dtype=torch.float64)
    spikes = LatencyEncoder('log')(x, 1024)
    assert spikes.sum(0).eq(1).all()
    # T - 1 - ln(a x) = -ln x, for x > 0 and a huge
    assert spikes.argmax(0).tolist() == [1023, 9, 1, 0]


def test_phases_repeat():
    x = torch.tensor([1.0, 0.8, 0.0])
    spikes = WeightedPhaseEncoder(phases=3)(x, 8)
    assert spikes[3:6].equal(spikes[:3]) and spikes[6:].equal(spikes[:2])
    assert spikes[:3].T.tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]


def test_phases_beyond_the_powers_of_two():
    x = torch.tensor([0.0, 0.625, 1.0])
    spikes = WeightedPhaseEncoder()(x, 2048)
    assert spikes.sum(0).tolist() == [0, 2, 2048] and spikes[:3, 1].tolist() == [1, 0, 1]


@pytest.mark.parametrize('name', ALL)
def test_a_classifier_takes_it_by_one_line(name):
    network = MODELS.build(dict(copy.deepcopy(NETWORK), encoder=dict(type=name)))
    x, labels = torch.rand(3, 3, 8, 8), torch.tensor([1, 2, 3])
    network(x, labels, 'loss')['loss'].backward()
    assert all(p.grad is not None for p in network.parameters())
    network.eval()
    with torch.no_grad():
        logits, again = network(x), network(x)
        assert logits.shape == (4, 3, 10) and logits.equal(again)
        torch.testing.assert_close(network(x[1:2])[:, 0], logits[:, 1])
        assert network(x, T=2).shape == (2, 3, 10)
        plain = MODELS.build(copy.deepcopy(NETWORK)).eval()
        plain.load_state_dict(network.state_dict())  # an encoder has no weights
        expected = plain(network.encoder(x, 4).transpose(0, 1) if name != 'DirectEncoder' else x)
        assert logits.equal(expected)


@pytest.mark.parametrize('name', ['PoissonEncoder', 'DeltaEncoder', 'DirectEncoder'])
@pytest.mark.parametrize('shape', [(2, 4, 5), (2, 4, 2, 6, 6)])
def test_sequences_and_frames(name, shape):
    x = torch.rand(shape).transpose(0, 1)
    y = MODELS.build(dict(type=name))(x, 4, timed=True)
    assert y.shape == x.shape
    if name == 'DirectEncoder':
        assert y is x


@pytest.mark.parametrize('name', ['LatencyEncoder', 'WeightedPhaseEncoder'])
def test_a_second_time_axis_is_refused(name):
    network = MODELS.build(
        dict(copy.deepcopy(NETWORK), backbone=dict(NETWORK['backbone'], in_channels=2), encoder=dict(type=name))
    )
    with pytest.raises(ConfigError, match=rf'model\.encoder.*{name}'):
        network(torch.rand(1, 4, 2, 8, 8))


@pytest.mark.parametrize('name', ['PoissonEncoder', 'LatencyEncoder', 'WeightedPhaseEncoder'])
@pytest.mark.parametrize('wrong', [-0.5, 1.5, 255.0, float('nan'), float('inf')])
def test_numbers_outside_the_range(name, wrong):
    encoder, x = MODELS.build(dict(type=name)), torch.rand(2, 3, 4, 4)
    encoder(x, 4)
    x[1, 2, 3, 0] = wrong
    with pytest.raises(ConfigError, match=rf'model\.encoder.*{name}.*data_preprocessor\.mean'):
        encoder(x, 4)


def test_rounding_may_lead_a_little_outside():
    x = torch.tensor([[-1e-4, 1 + 1e-4]])
    for name in ('PoissonEncoder', 'LatencyEncoder', 'WeightedPhaseEncoder'):
        encoder = MODELS.build(dict(type=name))
        assert encoder(x, 4).equal(encoder(x.clamp(0, 1), 4))


def test_integers_are_refused():
    with pytest.raises(ConfigError, match=r'model\.encoder.*uint8'):
        PoissonEncoder()(torch.zeros(2, 3, dtype=torch.uint8), 4)


def test_direct_keeps_an_image():
    x = torch.randn(2, 3)
    assert DirectEncoder()(x, 4) is x


@pytest.mark.parametrize(
    'name, key, value',
    [
        ('PoissonEncoder', 'gain', 0),
        ('PoissonEncoder', 'seed', -1),
        ('LatencyEncoder', 'function', 'square'),
        ('LatencyEncoder', 'threshold', 2),
        ('WeightedPhaseEncoder', 'phases', 0),
        ('DeltaEncoder', 'threshold', 0),
    ],
)
def test_mistakes(name, key, value):
    with pytest.raises(ConfigError, match=f'{name}.*{key}'):
        MODELS.build(dict(type=name, **{key: value}))


@pytest.mark.parametrize('name', ['PoissonEncoder', 'LatencyEncoder'])
def test_onnx(name):
    pytest.importorskip('onnxruntime', reason='needs the extra a2sg-zoo[export]')
    pytest.importorskip('onnxscript', reason='needs the extra a2sg-zoo[export]')
    network = MODELS.build(dict(copy.deepcopy(NETWORK), encoder=dict(type=name))).eval()
    x = torch.rand(2, 3, 8, 8)
    with exportable(network) as plain, torch.no_grad():
        program = torch.onnx.export(plain, (x,), dynamo=True, verbose=False)
        torch.testing.assert_close(program(x)[0], network(x))
