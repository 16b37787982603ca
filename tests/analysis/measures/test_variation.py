"""Statistics of local gradients against plain tensors, and the log of a run."""

import json
import math

import pytest
import torch

from a2sg_zoo.analysis.measures.moments import Moments
from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.analysis.measures.theory import layers_under_theory
from a2sg_zoo.analysis.measures.variation import curve, local_gradient_statistics, read_adaptation_log
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.surrogates import ASY, TRI
from tests.analysis.networks import Perceptron, cross_entropy, perceptron


def potentials_and_gradients(model, x, y):
    """u and dL/du of both layers, by autograd through a forward pass that is written out."""
    seen = {}

    def layer(name, neuron, current):
        v, spikes, us = torch.zeros_like(current[0]), [], []
        beta = neuron.beta.expand(len(current))
        for t, x_t in enumerate(current):
            u = v + (x_t - v) / neuron.tau
            u.retain_grad()
            us.append(u)
            z = u - 1
            f = neuron.surrogate(z.detach(), beta[t])
            s = (z >= 0).to(z) + f * (z - z.detach())
            v = u * (1 - s.detach())
            spikes.append(s)
        seen[name] = us
        return torch.stack(spikes)

    s = layer('neuron1', model.neuron1, model.fc1(x).expand(model.T, -1, -1))
    s = layer('neuron2', model.neuron2, model.fc2(s))
    torch.nn.functional.cross_entropy(model.out(s.mean(0)), y).backward()
    return {name: (torch.stack(us), torch.stack([u.grad for u in us])) for name, us in seen.items()}


def test_against_plain_autograd():
    objective = perceptron(ASY(), sizes=(6, 4))
    model = objective.model
    model.neuron1.beta = torch.tensor([0.5, 0.7, 0.9], dtype=torch.float64)
    found = local_gradient_statistics(objective)
    parts = [potentials_and_gradients(model, x, y) for x, y in objective.batches]
    assert list(found) == [(f'neuron{i}', t) for i in (1, 2) for t in (1, 2, 3)]
    assert model.neuron1.watcher is None
    for (layer, t), stats in found.items():
        u = torch.cat([part[layer][0][t - 1].flatten() for part in parts])
        # the second batch is smaller, so its mean loss gives each sample more
        delta, after = [
            torch.cat([part[layer][1][k].flatten() * share for part, share in zip(parts, (1, 4 / 6))])
            for k in (t - 1, min(t, 2))
        ]
        beta = (0.5, 0.7, 0.9)[t - 1] if layer == 'neuron1' else 1.0
        z = (u - 1)[(u - 1).abs() <= beta]
        tri = TRI()(z, beta)
        size = delta.abs().mean()
        expected = dict(
            mean=u.mean(),
            std=u.std(correction=0),
            rate=(u >= 1).double().mean(),
            beta=beta,
            v_threshold=1.0,
            in_window=len(z) / len(u),
            sgv=delta.var(correction=0) / size,
            cv=delta.std(correction=0) / size,
            cv_tri=tri.std(correction=0) / tri.mean(),
            cv_box=0.0,
        )
        for key, value in expected.items():
            assert stats[key] == pytest.approx(float(value), rel=1e-6, abs=1e-6), (layer, t, key)
        if t < 3:
            assert stats['tgc'] == pytest.approx(float(delta @ after / delta.norm() / after.norm()))
        else:
            assert stats['tgc'] is None


def test_a_silent_layer_is_undefined_not_nan():
    objective = perceptron(ASY(beta=0.1))
    with torch.no_grad():
        objective.model.fc2.bias.fill_(-100)
    stats = local_gradient_statistics(objective)['neuron2', 1]
    assert stats['rate'] == stats['in_window'] == 0 and stats['std'] > 0
    assert all(stats[key] is None for key in ('sgv', 'cv', 'tgc', 'cv_asy', 'cv_tri', 'cv_box'))
    assert not any(
        isinstance(x, float) and math.isnan(x)
        for s in local_gradient_statistics(objective).values()
        for x in s.values()
    )


@pytest.mark.parametrize('value', [0.1, 0.3, -7.7, 1e4])
def test_potentials_that_do_not_vary_are_no_gaussian(value):
    """Nor those that differ in their last digits alone, in float32."""
    objective = perceptron(ASY())
    model = objective.model.float()
    objective = Objective(model, [(x.float(), y) for x, y in objective.batches], cross_entropy)
    model.fc1.weight.data.zero_()
    for still in (torch.full((6,), value), value * (1 + 1.2e-7 * torch.randn(6))):
        model.fc1.bias.data.copy_(still)
        found = local_gradient_statistics(objective)
        assert all(found['neuron1', t]['std'] == 0 for t in (1, 2, 3))
        rows = layers_under_theory({key: stats for key, stats in found.items() if key[0] == 'neuron1'})
        assert all(row['ratio'] is row['holds'] is row['cv_tri'] is None for row in rows)


def test_small_spreads_of_large_numbers_keep_their_digits():
    x = 1000 + 0.01 * torch.randn(10000, dtype=torch.float64)
    moments = Moments()
    for part in x.split(300):
        moments.add(part)
    assert moments.n == 10000 and moments.mean == pytest.approx(float(x.mean()), rel=1e-14)
    assert moments.std(1000) == pytest.approx(float(x.std(correction=0)), rel=1e-9)
    assert moments.std(1e5) == 0


def test_what_overflows_is_undefined():
    objective = perceptron(ASY())
    huge = Objective(objective.model, objective.batches, lambda m, x, y: cross_entropy(m, x, y) * 1e200)
    found = local_gradient_statistics(huge)
    assert found['neuron1', 1]['sgv'] is None
    assert not any(isinstance(x, float) and not math.isfinite(x) for s in found.values() for x in s.values())


def test_a_network_without_neurons():
    model = torch.nn.Linear(5, 3)
    with pytest.raises(ConfigError, match='Linear'):
        local_gradient_statistics(Objective(model, [(torch.randn(2, 5), torch.tensor([0, 1]))], cross_entropy))


def test_prediction_with_fewer_time_steps():
    model = Perceptron(TRI()).double()
    model.neuron1.beta = torch.tensor([0.5, 0.7, 0.9], dtype=torch.float64)
    model.T = 2
    found = local_gradient_statistics(Objective(model, [(torch.randn(3, 5).double(), torch.arange(3))], cross_entropy))
    assert [found['neuron1', t]['beta'] for t in (1, 2)] == [0.9, 0.9]


def test_log(tmp_path):
    layers = dict(a=dict(tgc=[0.5, None], sgv=1.0), b=dict(tgc=[0.1, 0.3], sgv=None))
    path = tmp_path / 'adaptation.jsonl'
    lines = [json.dumps(dict(iter=i, layers=layers if i == 2 else {})) for i in (2, 4)]
    path.write_text('\n'.join(lines) + '\n{"iter": 6, "lay')
    records = read_adaptation_log(tmp_path)
    assert [r['iter'] for r in records] == [2, 4]
    assert curve(records, 'tgc') == ([2, 4], [pytest.approx(0.3), None])
    assert curve(records, 'sgv') == ([2, 4], [1.0, None])

    path.write_text(lines[0] + '\n{"iter"\n' + lines[1] + '\n')
    with pytest.raises(DataError, match='adaptation.jsonl.*line 2'):
        read_adaptation_log(path)
    path.write_text('')
    with pytest.raises(DataError, match='adaptation.jsonl'):
        read_adaptation_log(path)
    with pytest.raises(DataError, match='elsewhere.jsonl'):
        read_adaptation_log(tmp_path / 'elsewhere.jsonl')
