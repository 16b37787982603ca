"""Networks in chunks of time steps against the same networks over the whole sequence at once."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.layers import time_chunks
from a2sg_zoo.models.layers.norms import BATCH_NORMS
from a2sg_zoo.neurons import Neuron, named_neurons, recorded_potentials
from a2sg_zoo.registry import MODELS, NEURONS

T = 7
LIF = dict(type='LIF', tau=2.0, decay_input=False, surrogate=dict(type='ASY'))
GPT = dict(type='SpikeGPT', embed_dims=16, depth=1, num_heads=2, vocabulary=20, T=T, neuron=LIF)
CSNN = dict(type='CSNN', widths=(6, 5), T=T, neuron=dict(type='PLIF', detach_reset=False, v_reset=-0.2))
RESNET = dict(type='SpikingResNet', depths=(1, 1), widths=(4, 6), stem=4, T=T, neuron=LIF)
STEP = dict(type='CSNN', widths=(6, 5), T=T, neuron=dict(type='ALIF', surrogate=dict(type='ASY')))
RECURRENT = dict(type='RecurrentSNN', in_features=8, widths=(4, 3), norm='layer', dropout=0.0, T=T, neuron=LIF)
NETWORKS = dict(gpt=GPT, csnn=CSNN, resnet=RESNET, step=STEP)


def inputs(name):
    if name == 'gpt':
        return torch.randint(20, (T, 6), generator=torch.Generator().manual_seed(0))
    shape = (6, 3, 8, 8) if name == 'resnet' else (T, 6, 2, 8, 8)
    return 2 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def frozen(network):
    """Batch norms in evaluation: then they see every time step by itself."""
    for module in network.modules():
        if isinstance(module, BATCH_NORMS):
            module.eval()
            module.weight.data.fill_(2)
    return network


def build(config, **kwargs):
    torch.manual_seed(0)
    return frozen(MODELS.build({**config, **kwargs}).double().train())


@pytest.mark.parametrize('chunk', [1, 3, T - 1, T, 100])
@pytest.mark.parametrize('name', NETWORKS)
def test_chunks_equal_the_whole(name, chunk):
    """Outputs, gradients and widths, with a search in each of two steps."""
    kwargs = dict(time='keep') if name != 'gpt' else {}
    networks = [build(NETWORKS[name], **kwargs), build(NETWORKS[name], **kwargs, time_chunk=chunk)]
    policies = [A2SG(beta_min=0.2) for _ in networks]
    x = inputs(name)
    for network, policy in zip(networks, policies):
        attach(network, policy)
    for iteration in range(2):
        outputs = []
        for network, policy in zip(networks, policies):
            policy.begin(iteration, observe=True)
            network.zero_grad()
            (y,) = network(x)
            outputs.append(y)
            (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
        whole, parts = networks
        torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-10, atol=1e-12)
        for (key, a), (_, b) in zip(whole.state_dict().items(), parts.state_dict().items()):
            assert torch.equal(a, b) if 'beta' in key else True, key
        for a, b in zip(whole.parameters(), parts.parameters()):
            torch.testing.assert_close(b.grad, a.grad, rtol=1e-9, atol=1e-12)
        for a, b in zip(*(named_neurons(network).values() for network in networks)):
            assert (b.beta != 1).any() and b.beta.shape == (T,)
            for key, value in policies[0].records[a].items():
                torch.testing.assert_close(policies[1].records[b][key], value, rtol=1e-9, atol=1e-12)
    assert policies[0].searches == policies[1].searches


class Perceptron(SpikingBackbone):
    """Two layers of neurons on sequences (T, B, 4)."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.fc1, self.neuron1, self.fc2, self.neuron2 = nn.Linear(4, 9), self.neuron(), nn.Linear(9, 9), self.neuron()
        self.tap([9])

    def forward_stages(self, x, T):
        yield self.neuron2(8 * self.fc2(self.neuron1(2 * self.fc1(x))))


@pytest.mark.parametrize('kind', sorted({*NEURONS.module_dict} - {'PSN', 'MaskedPSN'}))
def test_every_neuron_of_the_registry(kind):
    neuron = dict(type=kind, **(dict(neuron=dict(type='ALIF'), features=9) if kind == 'Recurrent' else {}))
    networks = []
    for kwargs in ({}, dict(time_chunk=3)):
        torch.manual_seed(0)
        networks.append(Perceptron(T=T, neuron=neuron, **kwargs).double().train())
    x, outputs, policies = 5 * torch.randn(T, 8, 4, dtype=torch.float64), [], []
    for network in networks:
        if any(isinstance(m, Neuron) for m in network.modules()):
            policies.append(A2SG(beta_min=0.2))
            attach(network, policies[-1])
            policies[-1].begin(0)
        outputs.append(network(x)[0])
        (outputs[-1] * torch.linspace(0, 1, 8).double()[:, None]).square().sum().backward()
    assert outputs[0].any()
    torch.testing.assert_close(outputs[1], outputs[0])
    for a, b in zip(*(named_neurons(network).values() for network in networks)):
        assert torch.equal(a.beta, b.beta)
    for (name, a), b in zip(networks[0].named_parameters(), networks[1].parameters()):
        assert (a.grad is None) == (b.grad is None), name
        if a.grad is not None:
            torch.testing.assert_close(b.grad, a.grad, rtol=1e-8, atol=1e-12, msg=lambda text, name=name: name + text)


def test_means_over_time_and_several_outputs():
    kwargs = dict(out_indices=(0, 1))
    whole, parts = build(RESNET, **kwargs), build(RESNET, **kwargs, time_chunk=3)
    for a, b in zip(whole(inputs('resnet')), parts(inputs('resnet'))):
        torch.testing.assert_close(b, a)
    with torch.no_grad():
        for a, b in zip(whole(inputs('resnet')), parts(inputs('resnet'))):
            torch.testing.assert_close(b, a)


def test_fewer_time_steps_than_a_chunk_and_another_number_of_them():
    whole, parts = build(RESNET).eval(), build(RESNET, time_chunk=3).eval()
    for steps in (2, 11):
        torch.testing.assert_close(parts(inputs('resnet'), T=steps)[0], whole(inputs('resnet'), T=steps)[0])
    with pytest.raises(ConfigError, match=f'T = {T}.*5'):  # as many frames as the recording has not
        build(CSNN, time_chunk=3)(inputs('csnn')[:5])


@pytest.mark.parametrize('config', [CSNN, RECURRENT], ids=lambda config: config['type'])
def test_recorded_potentials_cover_all_time_steps(config):
    losses = []
    for kwargs in ({}, dict(time_chunk=3)):
        network = build(config, **kwargs)
        with recorded_potentials(network) as potentials:
            network(inputs('csnn') if config is CSNN else inputs('csnn')[:, :, 0, 0])
        assert [neuron for neuron, _ in potentials] == [*named_neurons(network).values()]
        assert [len(u) for _, u in potentials] == [T] * 2
        assert all(neuron.potentials is None for neuron, _ in potentials)
        sum(u.square().mean() for _, u in potentials).backward()
        losses.append([p.grad for p in network.parameters() if p.grad is not None])
    for a, b in zip(*losses):
        torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-12)


def test_potentials_of_different_neurons_are_not_joined():
    u = torch.zeros(3, 2)
    first, second = (NEURONS.build(LIF) for _ in range(2))
    ((neuron, joined),) = time_chunks._joined([[(first, u)], [(first, u[:1])]])
    assert neuron is first and len(joined) == 4
    for other in ([(second, u)], [(first, u), (first, u)], []):
        with pytest.raises(ConfigError, match='time_chunk'):
            time_chunks._joined([[(first, u)], other])


def test_nothing_is_left_on_the_modules():
    network = build(CSNN, time_chunk=3)
    before = copy.deepcopy(network)
    y = network(inputs('csnn'))[0]
    y.sum().backward()
    for module in network.modules():
        assert 'forward' not in vars(module)
    twin = copy.deepcopy(network)  # as an averaged model is
    torch.testing.assert_close(twin(inputs('csnn'))[0], before(inputs('csnn'))[0])
    neuron = next(m for m in network.modules() if isinstance(m, Neuron))
    s = neuron(torch.ones(T, 2, 3, dtype=torch.float64))
    assert torch.equal(s, neuron(torch.ones(T, 2, 3, dtype=torch.float64)))


def test_a_forward_of_an_instance_stays():
    """Profilers put one there."""
    network, seen = build(CSNN, time_chunk=3), []
    neuron = next(m for m in network.modules() if isinstance(m, Neuron))

    def forward(x):
        seen.append(x.shape)
        return type(neuron).forward(neuron, x)

    neuron.forward = forward
    network(inputs('csnn'))
    assert neuron.forward is forward and not seen  # a chunk needs the state
    neuron(torch.ones(T, 2, 3, dtype=torch.float64))
    assert len(seen) == 1


def test_batch_norms_in_training_are_asked_for_by_name():
    x = inputs('csnn')
    with pytest.raises(ConfigError, match='CSNN.*project.bn.*chunked_norms'):
        build(CSNN, time_chunk=3).train()(x)
    network = build(CSNN, time_chunk=3, chunked_norms=True).train()
    (y,) = network(x)
    y.sum().backward()
    norm = network.stages[0].project.bn
    assert norm.num_batches_tracked == 3  # once for each chunk; not in the second forward pass
    # the statistics are those of each chunk
    means = [network.stages[0].project.conv(part.flatten(0, 1)).mean((0, 2, 3)) for part in x.split(3)]
    expected = torch.zeros(6, dtype=torch.float64)
    for mean in means:
        expected = 0.9 * expected + 0.1 * mean
    torch.testing.assert_close(norm.running_mean, expected)


REFUSED = dict(
    delays=(
        dict(type='DelaySNN', in_features=3, widths=(4,), max_delay=3, norm=None, dropout=0.0, T=T),
        'layers.0.delay',
    ),
    dropout=(dict(type='DelaySNN', in_features=3, widths=(4,), max_delay=3, norm=None, dropout=0.5, T=T), 'dropout'),
    attention=(
        dict(type='SequenceSpikformer', in_features=3, embed_dims=8, depth=1, num_heads=2, T=T),
        'stages.0.*TemporalLayer',
    ),
    parallel=({**CSNN, 'neuron': dict(type='PSN', T=T)}, 'neuron.*PSN'),
    drop_path=(
        {**GPT, 'type': 'Spikformer', 'form': 'cifar', 'embed_dims': 16, 'drop_path': 0.1, 'depth': 2},
        'blocks.1',
    ),
)


@pytest.mark.parametrize('name', REFUSED)
def test_layers_in_which_time_steps_meet_are_refused(name):
    config, named = REFUSED[name]
    config = {key: value for key, value in config.items() if not (name == 'drop_path' and key == 'vocabulary')}
    network = build(config, time_chunk=3)
    x = torch.randn(dict(drop_path=(2, 3, 8, 8), parallel=(T, 2, 2, 8, 8)).get(name, (T, 2, 3))).double()
    with pytest.raises(ConfigError, match=f'time_chunk.*{named}'):
        network(x)


def test_a_neuron_with_a_forward_of_its_own_is_refused():
    network = build(CSNN, time_chunk=3)
    neuron = network.stages[1].neuron
    neuron.__class__ = type('Own', (type(neuron),), dict(forward=lambda self, x: x))
    with pytest.raises(ConfigError, match='stages.1.neuron.*Own'):
        network(inputs('csnn'))


@pytest.mark.parametrize('value', [0, -1, 1.5, 'many'])
def test_a_wrong_chunk(value):
    with pytest.raises(ConfigError, match='time_chunk'):
        build(CSNN, time_chunk=value)


def test_not_together_with_recompute():
    with pytest.raises(ConfigError, match='time_chunk.*recompute'):
        build(CSNN, time_chunk=2, recompute=True)


MEMORY = """
import torch
from a2sg_zoo.models.language import SpikeGPT
torch.set_num_threads(1)

def held(field):
    lines = open('/proc/self/status').read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f'{field}:'))

def peak(T, chunk):
    network = SpikeGPT(embed_dims=64, depth=1, num_heads=2, vocabulary=9, T=T, time_chunk=chunk)
    x = torch.randint(9, (T, 32))
    open('/proc/self/clear_refs', 'w').write('5')  # the peak from now on
    before = held('VmRSS')
    network(x)[0].mean(0).square().sum().backward()
    return held('VmHWM') - before

peak(32, None), peak(32, 8)
print(*(peak(T, chunk) for T, chunk in ((256, None), (256, 16), (1024, 32))))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='the peak is read from /proc')
def test_a_sequence_four_times_as_long_takes_less_memory_in_chunks():
    """What a process holds at its peak in a training step; memory that is freed goes back to the system at once."""
    env = {**os.environ, 'MALLOC_MMAP_THRESHOLD_': '16384', 'TORCH_COMPILE_DISABLE': '1', 'OMP_NUM_THREADS': '1'}
    done = subprocess.run([sys.executable, '-c', MEMORY], capture_output=True, text=True, check=True, env=env)
    whole, chunked, four_times_as_long = map(int, done.stdout.split())
    assert chunked < 0.4 * whole
    assert four_times_as_long < 0.8 * whole
