"""Statistics while a network trains: those of plain autograd, of `analysis`, and of a policy that observes."""

import copy
import json
import math
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from a2sg_zoo.adaptation import A2SG, attach, detach
from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.analysis.measures.variation import local_gradient_statistics
from a2sg_zoo.analysis.monitor import monitor
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.classifiers import SpikingClassifier
from a2sg_zoo.neurons import LIF
from a2sg_zoo.surrogates import Sigmoid
from tests.adaptation.foreign.networks import MultiStep, SingleStep, T, inputs, reset, step
from tests.adaptation.foreign.test_equality import SJ, TABLE, pair, sj


def close(a, b):
    return all(
        x is None and (y is None or math.isnan(y)) or x == pytest.approx(y, rel=1e-10, abs=1e-14)
        for x, y in zip(*(v if isinstance(v, list) else [v] for v in (a, b)), strict=True)
    )


def test_the_statistics_are_those_of_the_analysis():
    torch.manual_seed(1)
    model = SpikingClassifier(
        backbone=dict(type='VGGSNN', widths=(4, 8), in_channels=3, T=T, time='keep'),
        head=dict(type='LinearHead', in_channels=8, num_classes=10),
    ).double()
    batch = torch.rand(6, 3, 8, 8, dtype=torch.float64), torch.arange(6)
    objective = Objective(model, [batch])
    expected = local_gradient_statistics(objective)
    # the analysis measures in evaluation mode, where the monitor looks at nothing
    model.eval()
    with monitor(model) as watch:
        watch.begin(0)
        objective.batch_loss(*batch).backward()
        (record,) = watch.records
    assert len(record['layers']) == 2
    for name, layer in record['layers'].items():
        for t in range(T):
            found = expected[name, t + 1]
            assert close(layer['cv'][t], found['cv']) and close(layer['inside'][t], found['in_window'])
            assert close(layer['u_mean'][t], found['mean']) and close(layer['u_std'][t], found['std'])
            assert t == T - 1 or close(layer['tgc'][t], found['tgc'])
        assert close(layer['sgv'], expected[name, T]['sgv'])
        assert close(layer['rate'], sum(expected[name, t + 1]['rate'] for t in range(T)) / T)


@pytest.mark.parametrize('step_mode', ['m', 's'])
@pytest.mark.parametrize('name', ['IF_soft', 'LIF', 'LIF_not_detached', 'LIF_summed', 'PLIF'])
def test_the_statistics_of_another_library_are_those_of_our_neuron(name, step_mode):
    """Not attached: SpikingJelly's own sigmoid, and ours."""
    ours, theirs = pair(name, step_mode)
    for neuron in (ours.n1, ours.n2):
        neuron.surrogate = Sigmoid(4.0)
        neuron.set_widths(0.25)
    records = []
    for network in (ours, theirs):
        with monitor(network) as watch:
            for i in range(2):
                step(network, x=inputs(1.0 + i, i))
        records.append(watch.records)
    assert [record['iter'] for record in records[1]] == [1, 2]
    for a, b in zip(*records):
        for key, layer in a['layers'].items():
            other = b['layers'][key]
            assert other['beta'] == [0.25] * T and layer.keys() == other.keys()
            assert all(close(layer[statistic], other[statistic]) for statistic in layer)


@pytest.mark.parametrize('name', TABLE)
def test_the_statistics_of_an_attached_network_are_those_that_its_policy_observes(name):
    kind, make = TABLE[name]
    results, original = [], kind(make)
    for watched in (False, True):
        network, policy = copy.deepcopy(original), A2SG(beta_min=0.3)
        layers = attach(network, policy)
        watch = monitor(network) if watched else None
        for i in range(2):
            found = step(network, policy, i, observe=True)
        results.append(found)
    (_, record) = watch.records
    watch.close()
    assert all(torch.equal(found[key], g) for key, g in results[0].items())
    for key, layer in layers.items():
        expected = policy.records[layer]
        got = record['layers'][key]
        assert got['inside'] == pytest.approx(got['inside']) and all(0 <= x <= 1 for x in got['inside'])
        if layer.adapter.through_time:  # without, a policy takes c for 0, and the monitor sees it
            assert all(close(got[statistic], x.tolist()) for statistic, x in expected.items())


@pytest.mark.parametrize('name', ['LIF', 'PLIF'])
def test_neurons_that_our_fused_neuron_computes(name):
    records = []
    for fuse in (False, True):
        network, policy = MultiStep(SJ[name]), A2SG()
        attach(network, policy, fuse=fuse)
        with monitor(network) as watch:
            for i in range(2):
                step(network, policy, i, inputs(1.0 + i, i))
        records.append(watch.records)
    assert len(records[0]) == 2
    for a, b in zip(*records):
        assert all(close(x, b['layers'][key][s]) for key, layer in a['layers'].items() for s, x in layer.items())


@pytest.mark.parametrize('name', TABLE)
def test_gradients_stay_and_nothing_is_left_in_a_network_that_is_not_attached(name):
    kind, make = TABLE[name]
    network = kind(make)
    expected, keys = step(network), list(network.state_dict())
    before = {m: {k: v for k, v in vars(m).items() if not k.startswith('_')} for m in (network.n1, network.n2)}
    with monitor(network) as watch:
        found = step(network)
        assert all(torch.equal(found[key], g) for key, g in expected.items())
    assert all(len(layer['cv']) == T for layer in watch.records[0]['layers'].values())
    assert list(network.state_dict()) == keys and not network._forward_pre_hooks
    for module, attributes in before.items():
        assert not module._forward_pre_hooks and not module._forward_hooks
        assert all(vars(module)[k] is v for k, v in attributes.items() if callable(v))


def plain_network():
    return MultiStep(sj('LIFNode', tau=2.0))


def test_every_n_th_step_and_the_numbers_of_the_steps():
    network = plain_network()
    own = network.n1.surrogate_function
    with monitor(network, every=3) as watch:
        for i in range(7):
            step(network, x=inputs(seed=i))
            assert network.n1.surrogate_function is own
        assert [record['iter'] for record in watch.records] == [1, 4, 7]
        watch.begin(30, scale=4.0)
        step(network, x=inputs(seed=6))
        step(network, x=inputs(seed=6))  # of the same step: the latest counts
        watch.begin(31)
        step(network)
    *_, last, scaled = watch.records
    assert scaled['iter'] == 31 and len(watch.records) == 4
    for key, layer in last['layers'].items():
        assert close(scaled['layers'][key]['sgv'], layer['sgv'] / 4) and close(scaled['layers'][key]['cv'], layer['cv'])


def test_no_training_step_no_record():
    network = plain_network()
    with monitor(network) as watch:
        network.eval()
        step(network)
        network.train()
        with torch.no_grad():
            network(inputs())
        assert watch.records == []
        with pytest.raises(ConfigError):
            watch.table()


def test_a_layer_without_a_gradient_is_in_the_record():
    network = plain_network()
    network.fc2.requires_grad_(False)
    with monitor(network) as watch:
        s = network.n1(network.fc1(inputs()))
        network.n2(network.fc2(s.detach()).requires_grad_())
        s.sum().backward()
    # the network itself was not called, so no step began
    assert watch.records == []

    class Cut(MultiStep):
        def forward(self, x):
            s = self.n1(self.fc1(x))
            self.n2(self.fc2(s))
            return s

    network = Cut(sj('LIFNode', tau=2.0))
    with monitor(network) as watch:
        step(network)
        step(network)
    for record in watch.records:
        dead = record['layers']['n2']
        assert dead['sgv'] is None and dead['cv'] == [None] * T and 0 < dead['rate'] < 1
        assert record['layers']['n1']['sgv'] > 0


def test_time_steps_outside_of_the_network():
    records = []
    for outside in (False, True):
        network = SingleStep(sj('LIFNode', 's', tau=2.0))
        with monitor(network) as watch:
            for i in range(2):
                reset(network)
                x = inputs(1.0 + i)
                out = torch.stack([network(x[t : t + 1])[0] for t in range(T)]) if outside else network(x)
                out.square().mean().backward()
        records.append(watch.records)
    assert records[0] == records[1] and len(records[0]) == 2


@pytest.mark.parametrize('reentrant', [True, False])
@pytest.mark.parametrize('make', [sj('LIFNode', tau=2.0), lambda features: LIF()], ids=['SpikingJelly', 'ours'])
def test_activation_checkpointing(make, reentrant):
    class Network(MultiStep):
        use = False

        def block(self, x):
            if hasattr(self.n1, 'reset'):
                self.n1.reset()
            return self.n1(self.fc1(x))

        def forward(self, x):
            x = x.clone().requires_grad_()
            s = checkpoint(self.block, x, use_reentrant=reentrant) if self.use else self.block(x)
            return self.readout(self.n2(self.fc2(s)))

    records = []
    for use in (False, True):
        network = Network(make)
        network.use = use
        with monitor(network) as watch:
            for i in range(2):
                step(network, x=inputs(1.0 + i))
        records.append(watch.records)
    assert len(records[0]) == 2
    for a, b in zip(*records):
        assert all(close(x, b['layers'][key][s]) for key, layer in a['layers'].items() for s, x in layer.items())


def test_attaching_and_copying_between_steps():
    network = plain_network()
    with monitor(network) as watch:
        step(network)
        layers = attach(network, A2SG())
        step(network)
        reset(network)
        twin = copy.deepcopy(network)
        assert 'a2sg_zoo' not in repr([type(m).__module__ for m in twin.modules()][1:])
        pickle.dumps(network.n1)
        detach(network)
        step(network)
    betas = [record['layers']['n1']['beta'] for record in watch.records]
    assert betas[0] == betas[2] == [0.25] * T and betas[1] == layers['n1'].beta.tolist()


def test_the_table_and_the_files(tmp_path):
    network = plain_network()
    nn.init.constant_(network.fc2.bias, -90.0)
    network.fc2.weight.data.zero_()
    with monitor(network) as watch:
        step(network)
        step(network)
    lines = str(watch).splitlines()
    assert lines[0] == '| layer | SGV | TGC | CV | inside | rate |' and lines[3].startswith('| n2 | ')
    path = watch.to_json(tmp_path / 'health.json')

    def refuse(constant):
        raise AssertionError(constant)

    data = json.loads(path.read_text(), parse_constant=refuse)
    assert data['records'] == watch.records and len(data['records']) == 2
    watch.to_json(path)
    other = tmp_path / 'other.json'
    other.write_text('{}')
    with pytest.raises(ConfigError, match='other.json'):
        watch.to_json(other)
    assert other.read_text() == '{}' and sorted(p.name for p in tmp_path.iterdir()) == ['health.json', 'other.json']


def test_tensorboard(tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    network = plain_network()
    with monitor(network) as watch:
        step(network)
        watch.to_tensorboard(tmp_path)
        step(network)
        watch.to_tensorboard(tmp_path, 'steps')
    events = EventAccumulator(str(tmp_path)).Reload()
    rates = [event.value for event in events.Scalars('rate/n1')]
    assert rates == pytest.approx([record['layers']['n1']['rate'] for record in watch.records])
    assert [event.step for event in events.Scalars('sgv/mean')] == [1, 2] and 'inside/n2/t3' in events.Tags()['scalars']
    assert all(math.isfinite(e.value) for tag in events.Tags()['scalars'] for e in events.Scalars(tag))


def test_one_monitor_a_network_and_a_number_that_makes_sense():
    network = plain_network()
    with monitor(network):
        with pytest.raises(ConfigError, match='MultiStep'):
            monitor(network)
    monitor(network).close()
    with pytest.raises(ConfigError, match='every'):
        monitor(network, every=0)
    with pytest.raises(ConfigError, match='Linear'):
        monitor(nn.Sequential(nn.Linear(2, 2)))
