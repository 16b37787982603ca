"""The benchmark of speed: what it compares is the same mathematics, and what it prints is what it measured."""

import copy
import json
import math
from importlib.metadata import PackageNotFoundError
from types import ModuleType

import pytest
import torch

import a2sg_zoo
from a2sg_zoo.benchmark.speed import attached, long_sequences, measurements, networks, peers
from a2sg_zoo.benchmark.speed.measurements import time_rows
from a2sg_zoo.benchmark.speed.networks import RESNET19, Setting, search_steps, with_relu
from a2sg_zoo.benchmark.speed.report import as_data, markdown
from a2sg_zoo.benchmark.speed.rows import Row, unevenness
from a2sg_zoo.benchmark.speed.timing import interleaved, medians, peak_memory
from a2sg_zoo.cli.benchmark_speed import main
from a2sg_zoo.errors import A2SGError, ConfigError
from a2sg_zoo.neurons import LIF, Neuron
from a2sg_zoo.registry import MODELS

CPU = torch.device('cpu')


def test_actions_take_turns():
    done = []
    runs = interleaved({name: lambda name=name: done.append(name) for name in 'ABC'}, CPU, rounds=3, warmup=1)
    turns = [''.join(done[i : i + 3]) for i in range(0, len(done), 3)]
    assert len(turns) == 4 and all(sorted(turn) == list('ABC') for turn in turns) and len(set(turns)) > 1
    assert {name: len(seconds) for name, seconds in runs.items()} == dict(A=3, B=3, C=3)
    assert medians(dict(A=[1, 5, 2])) == dict(A=2)


def test_spikingjellys_network_is_ours():
    pytest.importorskip('spikingjelly')
    ours = a2sg_zoo.get_model('resnet19_w16_cifar10_tri', pretrained=True).double().train()
    theirs = peers.SpikingJellyResNet(copy.deepcopy(ours)).train()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    logits = [network(images) for network in (ours, theirs)]
    assert torch.equal(*logits) and logits[0].std() > 0
    for z in logits:
        z.square().sum().backward()
    gradients = [
        [p.grad for name, p in sorted(network.named_parameters(), key=lambda item: item[0].count('.')) if p.dim() == 4]
        for network in (ours, theirs)
    ]
    ours, theirs = (sorted(float(g.norm()) for g in found) for found in gradients)
    assert ours == pytest.approx(theirs, rel=1e-9) and ours[0] > 0


def test_snntorchs_neuron_fires_as_ours():
    pytest.importorskip('snntorch')
    x = 2 * torch.randn(4, 3, 50)
    spikes = peers.snntorch_lif()(x)
    assert torch.equal(spikes, LIF(tau=2.0, decay_input=False)(x)) and 0 < spikes.mean() < 1


def test_snntorchs_neuron_moves_to_the_device():
    pytest.importorskip('snntorch')
    meta = torch.device('meta')
    layer = peers.snntorch_lif().to(meta)
    assert {x.device for x in (*layer.buffers(), layer.leaky.init_leaky())} == {meta}


def test_neurons_of_other_libraries_are_measured_on_the_device(monkeypatch):
    pytest.importorskip('spikingjelly'), pytest.importorskip('snntorch')
    meta, moved = torch.device('meta'), []
    setting = Setting(meta, None, 1, 1, 1, True)
    monkeypatch.setattr(measurements, 'interleaved', lambda actions, *args, **kwargs: dict.fromkeys(actions, [1.0]))
    monkeypatch.setattr(torch.nn.Module, 'to', lambda self, device: moved.append((type(self).__name__, device)) or self)
    measurements.neuron_rows(setting)
    for kind in ('ours', 'SpikingJelly', 'snnTorch'):
        long_sequences._layer_step(setting, kind, 2, meta)
    assert moved == 2 * [('LIF', meta), ('LIFNode', meta), ('SnnTorchLayer', meta)]


@pytest.mark.parametrize('module', [None, ModuleType('spikingjelly')])  # not importable, and without metadata
def test_a_missing_peer_is_named(module, monkeypatch):
    def no_version(package):
        raise PackageNotFoundError(package)

    monkeypatch.setitem(__import__('sys').modules, 'spikingjelly', module)
    monkeypatch.setattr(peers, 'version', no_version)
    with pytest.raises(ConfigError, match='spikingjelly'):
        peers.spikingjelly_lif()


def test_the_relu_network_has_no_neurons():
    config = copy.deepcopy(RESNET19)
    config['backbone'].update(widths=(8, 8, 16), stem=8)
    config['head']['in_channels'] = 16
    network = with_relu(MODELS.build(config))
    assert not any(isinstance(module, Neuron) for module in network.modules())
    assert network(torch.randn(2, 3, 8, 8)).shape == (4, 2, 10)


def test_each_search_of_the_table_is_the_one_that_it_names(monkeypatch):
    policies = []
    monkeypatch.setattr(networks, 'attach', lambda network, policy: policies.append(policy))
    names = list(search_steps(torch.nn.Linear(1, 1), Setting(CPU, None, 1, 1, 1, False)))
    searchers = [repr(getattr(policy, 'searcher', None)) for policy in policies]
    assert dict(zip(names, searchers, strict=True)) == {
        'fixed': 'None',
        'exact search': 'ExactSearcher',
        'TPE of 16 trials': 'TPESearcher(trials=16)',
    }


def test_steps_between_two_searches_hold_none(monkeypatch):
    policies = []
    monkeypatch.setattr(
        attached, '_training_step', lambda library, widths, setting, policy, fuse: policies.append(policy)
    )
    names = list(attached.attached_steps('snnTorch', (2,), Setting(CPU, None, 1, 1, 1, True)))
    policy = policies[names.index(attached.BETWEEN)]
    searching = []
    for iteration in range(100):
        policy.begin(iteration)
        searching.append(policy.searching)
    assert searching == [True] + 99 * [False]


def allocate(device):
    def action(megabytes):
        torch.ones(megabytes, 2**18).sum()

    return lambda: action(1), lambda: action(200)


def fail(device):
    raise SystemExit(3)


def test_peak_memory():
    assert 195 < peak_memory(allocate, CPU, threads=1) / 2**20 < 260
    with pytest.raises(A2SGError, match='fail.* 3'):
        peak_memory(fail, CPU, threads=1)


@pytest.mark.parametrize(
    'seconds, off',
    [
        ([1, 2, 4, 8, 16], 1),  # each step costs 1
        ([1, 1.5, 3.5, 7.5, 15.625], 1.95),  # 0.5, 1, 1, 1.015625 about 0.975
        ([1, 2, 4, 8, 24], 23 / 15),  # 1, 1, 1, 2 about 23 / 15
        ([1.00, 0.98, 3.10, 7.34, 15.82], math.inf),
        ([1, 1, 2, 4, 8], math.inf),
        ([5, 4, 3, 2, 1], math.inf),
    ],
)
def test_a_further_time_step(seconds, off, monkeypatch):
    """A step that costs nothing is infinitely far from the mean, and reaches no aim."""
    steps = (1, 2, 4, 8, 16)
    assert unevenness(dict(zip(steps, seconds))) == pytest.approx(off)
    monkeypatch.setattr(measurements, 'training_step', lambda *args, **kwargs: None)
    monkeypatch.setattr(
        measurements, 'interleaved', lambda actions, *args, **kwargs: {T: [x] for T, x in zip(steps, seconds)}
    )
    rows = time_rows(Setting(CPU, None, 1, 1, 1, False))
    assert [row.ratio for row in rows] == pytest.approx([off] * 2)
    assert markdown(rows, dict(machine='M', command='C')).count('| missed |') == 2 * (off > 1.1)


def test_tables_and_data():
    runs = dict(ours=[1.0, 2.0, 3.0], theirs=[4.0, 5.0, 6.0])
    rows = [
        Row('Layer', 'theirs', 0.4, 0.5, medians(runs), runs),
        Row('Net, T = 4: memory', 'theirs', 0.9, 0.7, dict(ours=2**30)),
        Row('Net, T = 8: memory', 'theirs', 0.9, 0.7, dict(ours=2**31)),
        Row('Layer', 'the mean', math.inf, 1.1, dict(ours=1.0), dict(ours=[1.0])),
    ]
    facts, profiles = dict(machine='M', command='C'), dict(step=[('conv', 0.5), ('rest', 0.001)])
    text = markdown(rows, facts, profiles)
    for expected in (
        '| Layer | theirs | 0.40 | 0.50 | reached |',
        '| Net, T = 4: memory | theirs | 0.90 | 0.70 | missed |',
        '| Layer | the mean | inf | 1.10 | missed |',
        '| ours | 2,000.0 ms | 1,000.0 ms to 3,000.0 ms |',
        '\nNet, T = 4:\n\n|  | median | quartiles |\n| --- | --- | --- |\n| ours | 1,024 MiB |  |',
        '\nNet, T = 8:\n\n|  | median | quartiles |\n| --- | --- | --- |\n| ours | 2,048 MiB |  |',
        'step: `conv` 50%\n',
        '| machine | M |',
    ):
        assert expected in text
    data = json.loads(json.dumps(as_data(rows, facts, profiles), allow_nan=False))
    assert [row['ratio'] for row in data['rows']] == [0.4, 0.9, 0.9, None]
    assert data['rows'][0]['quartiles'] == dict(ours=[1.0, 3.0], theirs=[4.0, 6.0])
    assert data['rows'][0]['medians'] == dict(ours=2.0, theirs=5.0) and data['rows'][1]['quartiles'] == {}
    assert data['facts'] == facts and data['profiles'] == dict(step=[['conv', 0.5], ['rest', 0.001]])


def test_command_line(tmp_path, capsys):
    threads = torch.get_num_threads()
    arguments = 'neuron --no-peers --rounds 1 --threads 1 --device cpu --out'.split()
    try:
        main([*arguments, str(tmp_path / 'speed')])
    finally:
        torch.set_num_threads(threads)
    text = (tmp_path / 'speed.md').read_text()
    assert capsys.readouterr().out.strip() in text and '| moving 6 tensors |' in text
    data = json.loads((tmp_path / 'speed.json').read_text())
    row = next(row for row in data['rows'] if row['against'] == 'moving 6 tensors')
    assert row['ratio'] == pytest.approx(row['medians']['ours'] / row['medians']['moving 6 tensors'])
    low, high = row['quartiles']['ours']
    assert low <= row['medians']['ours'] <= high and data['facts']['threads'] == 1


@pytest.mark.parametrize('arguments, named', [(['neurons'], 'neurons'), (['neuron', '--out', 'mine'], 'mine.json')])
def test_mistakes_end_before_the_first_measurement(arguments, named, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(measurements.PARTS, 'neuron', pytest.fail)
    (tmp_path / 'mine.json').write_text('{"my": "data"}')
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, '--no-peers'])
    assert stopped.value.code == 2 and named in capsys.readouterr().err
    assert (tmp_path / 'mine.json').read_text() == '{"my": "data"}'
