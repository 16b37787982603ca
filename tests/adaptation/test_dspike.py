"""Dspike's choice of the temperature: the best cosine, found without disturbing the training."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from a2sg_zoo.adaptation import Dspike, Fixed, attach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.classifiers import SpikingClassifier
from a2sg_zoo.neurons import multistep_reference, named_neurons
from a2sg_zoo.surrogates import DspikeShape

from .baseline_networks import (
    Classifier,
    assert_eval_mode_does_nothing,
    assert_gradients_are_those_of_the_windows,
    batch,
    network,
)

ROOT = Path(__file__).resolve().parents[2]


def classifier(policy, **options):
    torch.manual_seed(1)
    model = Classifier(**options).train()
    attach(model, policy)
    return model


def temperature(model):
    found = {round(float(2 * n.v_threshold / n.beta), 4) for n in named_neurons(model).values()}
    assert len(found) == 1 and all(n.beta.numel() == 1 for n in named_neurons(model).values())
    return found.pop()


@pytest.mark.parametrize('T', [1, 4])
def test_gradients_are_those_of_the_chosen_windows(T):
    assert_gradients_are_those_of_the_windows(Dspike(), torch.randn(T, 8, 6, dtype=torch.float64))


def test_eval_mode_does_nothing():
    assert_eval_mode_does_nothing(Dspike(), torch.randn(4, 8, 6, dtype=torch.float64))
    policy = Dspike()
    model = classifier(policy).eval()
    policy.prepare(model, None, 0)  # would fail if it looked at the batch
    assert temperature(model) == 3


def test_every_neuron_has_the_support_and_the_window_of_its_threshold():
    model = network(Dspike(b=4.0))
    assert model.lif1.surrogate.v_threshold == 1 and float(model.lif1.beta) == 0.5
    assert model.lif2.surrogate.v_threshold == 0.5 and float(model.lif2.beta) == 0.25


def brute_force(model, data, candidates, eps):
    """Cosines over all single weights, from the definition: plain loops, and plain autograd for the surrogates."""
    weight, neurons = model.fc1.weight, list(named_neurons(model).values())

    def loss(b=None):
        def layer(lif, current):
            shape = DspikeShape(b or 1.0, lif.v_threshold)
            return multistep_reference(current, lif.rate, lif.dynamics, shape, shape.beta)

        first, second = neurons
        s = layer(first, model.bn(model.fc1(data['inputs'])).expand(3, -1, -1))
        logits = model.readout(layer(second, 2 * model.fc2(s)).mean(0))
        return torch.nn.functional.cross_entropy(logits, data['labels'])

    h, true = eps * float(weight.detach().square().mean().sqrt()), torch.zeros_like(weight)
    with torch.no_grad():
        for i in range(weight.shape[0]):
            for j in range(weight.shape[1]):
                w = float(weight[i, j])
                weight[i, j] = w + h
                above = loss()
                weight[i, j] = w - h
                true[i, j] = (above - loss()) / (2 * h)
                weight[i, j] = w
    return [
        float(torch.cosine_similarity(true.flatten(), torch.autograd.grad(loss(b), weight)[0].flatten(), dim=0))
        for b in candidates
    ]


@pytest.mark.parametrize('step', [0.5, 1.5])
def test_takes_the_temperature_with_the_best_cosine(step):
    policy = Dspike(step=step, directions=None, eps=0.5)
    model = classifier(policy, dropout=0.0).double()
    data = batch()
    data['inputs'] = data['inputs'].double()
    candidates = [3.0, 3.0 + step, 3.0 - step]
    expected = brute_force(model, data, candidates, policy.eps)
    assert policy.cosines(model, data, 0, candidates).tolist() == pytest.approx(expected, abs=1e-6)
    assert max(expected) - min(expected) > 1e-3
    policy.prepare(model, data, 0)
    assert temperature(model) == candidates[expected.index(max(expected))] != 3


def test_walks_to_the_peak_of_the_cosine():
    """Preparing on one batch again and again ends where neither neighbour is better."""
    policy = Dspike(step=0.5, interval=1, eps=0.5)
    model, data = classifier(policy), batch(256)
    for _ in range(12):
        policy.prepare(model, data, 0)
    b = temperature(model)
    here, above, below = policy.cosines(model, data, 0, [b, b + 0.5, max(b - 0.5, 0.1)])
    assert b != 3 and here >= above and (here >= below or b == 0.5)


def test_differences_are_those_of_the_loss():
    """Where the loss does not pass through a spike, a surrogate changes nothing, and the cosine is 1."""

    class Quadratic(Classifier):
        def forward(self, inputs, labels=None, mode='tensor'):
            return dict(loss=self.fc1(inputs).square().mean() + 0 * self.lif1(inputs.expand(2, -1, -1)).mean())

    for directions in (None, 7):
        policy = Dspike(directions=directions)
        torch.manual_seed(0)
        model = Quadratic().double()
        attach(model, policy)
        data = dict(inputs=batch()['inputs'].double(), labels=None)
        assert policy.cosines(model, data, 0, [3.0]).tolist() == pytest.approx([1], abs=1e-9)
        with pytest.raises(ConfigError, match='fc1'):  # nothing to choose by
            policy.prepare(model, data, 0)


def test_directions_are_orthonormal_and_drawn_by_the_step():
    policy, weight = Dspike(directions=5), torch.randn(4, 3, 2, 2)
    basis = policy._basis(weight, 7)
    torch.testing.assert_close(basis @ basis.T, torch.eye(5))
    assert torch.equal(basis, policy._basis(weight, 7)) and not torch.equal(basis, policy._basis(weight, 8))
    assert Dspike(directions=48)._basis(weight, 7) is None


def test_training_goes_on_as_if_nothing_had_been_tried():
    policy = Dspike(interval=1)
    model = classifier(policy)
    data = batch()
    data['inputs'].requires_grad_(False)
    model.fc1.weight.grad = torch.ones_like(model.fc1.weight)
    policy.begin(0, observe=True)
    policy.searching = True
    state = {name: value.clone() for name, value in model.state_dict().items() if not name.endswith('.beta')}
    kept = [(p, p.data_ptr(), None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    copy = {name: value.clone() for name, value in data.items()}
    generators = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()

    policy.prepare(model, data, 0)

    after = model.state_dict()
    assert temperature(model) != 3  # it did look
    assert all(torch.equal(value, after[name]) for name, value in state.items())
    for p, pointer, grad in kept:
        assert p.data_ptr() == pointer and (p.grad is None if grad is None else torch.equal(p.grad, grad))
    assert all(torch.equal(value, data[name]) for name, value in copy.items()) and data.keys() == copy.keys()
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert (np.random.get_state()[1] == generators[1]).all() and random.getstate() == generators[2]
    assert model.training and policy.observing and policy.searching and not policy.records


def test_a_probe_that_fails_puts_everything_back():
    policy = Dspike()
    model = classifier(policy)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    forward, calls = model.forward, []

    def failing(*args, **kwargs):
        calls.append(1)
        if len(calls) > 4:
            raise RuntimeError('out of memory')
        return forward(*args, **kwargs)

    model.forward = failing
    with pytest.raises(RuntimeError, match='out of memory'):
        policy.prepare(model, batch(), 0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def train(model, policy, iterations):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for i in iterations:
        torch.manual_seed(i)
        data = dict(inputs=torch.randn(32, 6), labels=torch.randint(5, (32,)))
        policy.prepare(model, data, i)
        policy.begin(i)
        loss = model.parse_losses(model(**data, mode='loss'))[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_only_the_window_differs_from_a_fixed_shape():
    """Between two choices the run is that of the fixed shape with the temperature found."""
    policy = Dspike(interval=100)
    model = classifier(policy)
    losses = train(model, policy, range(4))
    fixed = Fixed(DspikeShape())
    other = classifier(fixed)
    for ours, theirs in zip(named_neurons(model).values(), named_neurons(other).values()):
        theirs.surrogate, theirs.beta = ours.surrogate, ours.beta.clone()
    assert temperature(model) != 3 and train(other, fixed, range(4)) == losses


def test_resumes_exactly_and_repeats():
    whole = classifier(Dspike(interval=2))
    losses = train(whole, named_neurons(whole)['lif1'].policy, range(6))
    first, second = Dspike(interval=2), Dspike(interval=2)
    model, resumed = classifier(first), classifier(second)
    assert train(model, first, range(3)) == losses[:3]
    resumed.load_state_dict(model.state_dict())
    assert train(resumed, second, range(3, 6)) == losses[3:]
    assert temperature(resumed) == temperature(whole)


def test_looks_once_an_interval():
    policy = Dspike(interval=5)
    model = classifier(policy)
    policy.prepare(model, None, 4)  # would fail if it looked at the batch
    assert temperature(model) == 3
    policy.prepare(model, batch(), 5)
    assert temperature(model) != 3


def test_does_not_cool_below_its_step(monkeypatch):
    policy = Dspike(b=0.4, step=0.2, interval=1)
    model = classifier(policy)
    tried = []

    def lowest(model, data, iteration, candidates):
        tried.append(candidates)
        return -torch.tensor(candidates)

    monkeypatch.setattr(policy, 'cosines', lowest)
    for i in range(4):
        policy.prepare(model, None, i)
    assert [len(candidates) for candidates in tried] == [3, 2, 2, 2] and temperature(model) == 0.2


@pytest.mark.parametrize(
    'spoil',
    [
        lambda m: torch.nn.init.zeros_(m.readout.weight),  # a loss that stands still
        lambda m: torch.nn.init.constant_(m.readout.bias, float('nan')),
    ],
)
def test_keeps_the_temperature_where_there_is_no_cosine(spoil):
    policy = Dspike()
    model = classifier(policy)
    spoil(model)
    policy.prepare(model, batch(), 0)
    assert temperature(model) == 3


def test_half_precision():
    policy = Dspike()
    model = classifier(policy).bfloat16()
    data = batch()
    data['inputs'] = data['inputs'].bfloat16()
    policy.prepare(model, data, 0)
    policy.begin(0)
    model(**data, mode='loss')['loss'].backward()
    assert all(n.beta.isfinite().all() for n in named_neurons(model).values())
    assert all(p.grad.isfinite().all() for p in model.fc1.parameters())


def test_needs_a_first_layer_in_the_loss():
    policy = Dspike()
    model = classifier(policy)
    model.fc1 = torch.nn.Linear(6, 12).requires_grad_(False)
    policy.prepare(model, batch(), 0)  # the second layer is the first that is trained
    model.fc2.requires_grad_(False)
    with pytest.raises(ConfigError, match='readout'):  # it is behind all spikes
        policy.prepare(model, batch(), 0)
    model.readout.requires_grad_(False)
    with pytest.raises(ConfigError, match='Classifier'):
        policy.prepare(model, batch(), 0)
    model = classifier(policy)
    model.unused = torch.nn.Linear(3, 3)
    with pytest.raises(ConfigError, match='unused'):
        policy.prepare(model, batch(), 0)


def test_the_first_layer_may_have_delays():
    policy = Dspike(directions=4)
    torch.manual_seed(0)
    backbone = dict(type='DelaySNN', in_features=3, widths=(8, 8), max_delay=3, T=6, dropout=0.0, time='keep')
    model = SpikingClassifier(backbone, dict(type='ReadoutHead', num_classes=4, in_channels=8)).train()
    attach(model, policy)
    data = dict(inputs=torch.rand(8, 6, 3), data_samples=torch.arange(8) % 4)
    low, middle, high = policy.cosines(model, data, 0, [2.0, 3.0, 4.0]).tolist()
    assert abs(low - middle) > 1e-5 < abs(high - middle)


@pytest.mark.parametrize(
    'arguments, error, named',
    [
        (dict(b=0), ValueError, 'b .*0'),
        (dict(b=0.1), ConfigError, 'step = 0.2 .*b = 0.1'),
        (dict(step='small'), ConfigError, "Dspike: step .*'small'"),
        (dict(eps=-1), ValueError, 'Dspike: eps .*-1'),
        (dict(interval=0), ConfigError, 'Dspike: interval .*0'),
        (dict(interval=None), ConfigError, 'Dspike: interval .*None'),
        (dict(directions=True), ConfigError, 'Dspike: directions .*True'),
    ],
)
def test_wrong_arguments_are_named(arguments, error, named):
    with pytest.raises(error, match=named):
        Dspike(**arguments)


def test_trains_in_a_run(tmp_path):
    base = ROOT / 'configs' / '_base_'
    parts = [
        'models/resnet19_cifar.py',
        'datasets/cifar10.py',
        'schedules/cifar_sgd_300e.py',
        'methods/dspike.py',
        'default_runtime.py',
    ]
    (tmp_path / 'config.py').write_text(f'_base_ = {[str(base / part) for part in parts]}')
    small = [
        'model.backbone.depths=[1,1,1]',
        'model.backbone.widths=[8,8,16]',
        'model.backbone.stem=8',
        'model.backbone.T=2',
        'model.head.in_channels=16',
        'train_dataloader.batch_size=8',
        'train_cfg.max_iters=4',
        'train_cfg.val_interval=4',
        'default_hooks.logger.interval=1',
        'adaptation.log_interval=1',
        'adaptation.policy.interval=2',
        'adaptation.policy.directions=4',
    ]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    environment.pop('CIFAR_ROOT', None)
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / 'tools' / 'train.py'),
            str(tmp_path / 'config.py'),
            '--demo',
            '--work-dir',
            str(tmp_path / 'run'),
            '--cfg-options',
            *small,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in (tmp_path / 'run' / 'adaptation.jsonl').read_text().splitlines()]
    b = [{round(2 / beta, 3) for layer in line['layers'].values() for beta in layer['beta']} for line in lines]
    assert [line['iter'] for line in lines] == [1, 2, 3, 4]
    # one temperature for all layers (their thresholds are 1), chosen before steps 1 and 3
    assert all(len(found) == 1 for found in b) and b[0] == b[1] and b[2] == b[3]
    assert b[0] <= {2.8, 3.0, 3.2} and b[2] <= {2.6, 2.8, 3.0, 3.2, 3.4}
