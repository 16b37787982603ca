"""The Fisher's largest eigenvalues against the dense matrix."""

import pytest
import torch

from a2sg_zoo.analysis.measures.fisher import WHOLE, fisher_spectrum
from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.errors import A2SGError, CheckpointError, DataError
from a2sg_zoo.surrogates import ASY
from tests.analysis.networks import classifier, classifier_objective, perceptron


def dense(objective):
    """{layer: F}, from one backward pass a sample in the shape of a loop over the whole batch's logits."""
    rows = []
    for inputs, targets in objective.batches:
        losses = torch.stack([objective.batch_loss(inputs[n : n + 1], targets[n : n + 1]) for n in range(len(targets))])
        for loss in losses:
            objective.model.zero_grad()
            loss.backward(retain_graph=True)
            rows.append([p.grad.flatten().clone() for p in objective.parameters])
    matrices = {}
    for name, indices in {**objective.layers, WHOLE: range(len(objective.parameters))}.items():
        J = torch.stack([torch.cat([row[i] for i in indices]) for row in rows])
        matrices[name] = J.T @ J / len(J)
    return matrices


@pytest.mark.parametrize('make', [lambda: perceptron(ASY()), classifier_objective], ids=['perceptron', 'resnet'])
@pytest.mark.parametrize(
    'settings',
    [dict(method='gram'), dict(method='gram', memory=2000), dict(method='power', iterations=3000, tolerance=1e-12)],
    ids=['gram', 'gram in slices', 'power'],
)
def test_against_dense(make, settings):
    objective = make()
    result = fisher_spectrum(objective, **settings)
    assert list(result.eigenvalues) == [*objective.layers, WHOLE]
    for name, F in dense(objective).items():
        exact = float(torch.linalg.eigvalsh(F)[-1])
        assert result.eigenvalues[name] == pytest.approx(exact, rel=1e-6), name
        assert result.traces[name] == pytest.approx(float(F.trace()), rel=1e-9)
    assert (result.passes > 1) == (settings != dict(method='gram'))


def test_stopping_by_tolerance_is_within_one_percent():
    objective = perceptron(ASY(), sizes=(20, 20))
    exact, found = fisher_spectrum(objective, 'gram'), fisher_spectrum(objective, 'power')
    assert found.passes < 100 and found.change <= 1e-4
    for name, value in exact.eigenvalues.items():
        assert found.eigenvalues[name] == pytest.approx(value, rel=1e-2)


def test_chooses_the_way_with_fewer_passes():
    objective = perceptron(ASY())
    assert fisher_spectrum(objective).method == 'gram'
    assert fisher_spectrum(objective, memory=8 * objective.samples * 2).method == 'power'


def test_a_layer_without_gradient_has_eigenvalue_zero():
    objective = perceptron(ASY(beta=0.1))
    with torch.no_grad():
        objective.model.fc2.bias.fill_(-100)
    for method in ('gram', 'power'):
        result = fisher_spectrum(objective, method)
        assert result.eigenvalues['fc1'] == result.eigenvalues['fc2'] == 0 < result.eigenvalues['out']


@pytest.mark.parametrize('method', ['gram', 'power'])
def test_infinite_gradients_are_named(method):
    objective = perceptron(ASY())
    objective.batches[1][0][2, 0] = float('inf')
    with pytest.raises(A2SGError, match='fc1'):
        fisher_spectrum(objective, method)


def test_mistakes():
    objective = perceptron(ASY())
    with pytest.raises(A2SGError, match='method.*exact'):
        fisher_spectrum(objective, 'exact')
    with pytest.raises(A2SGError, match='fc9'):
        objective.restricted(['fc9'])
    with pytest.raises(DataError):
        Objective(objective.model, [])
    model = classifier()
    with torch.no_grad():
        model.backbone.stem.conv.weight[0, 0, 0, :2] = float('nan')
    with pytest.raises(CheckpointError, match=r'backbone.stem.conv.weight.*\b2 of 108\b'):
        Objective(model, [])


def test_networks_mixing_is_left_out():
    objective = classifier_objective(mixing=[dict(type='torchvision/MixUp')])
    assert objective.loss() == objective.loss()


def test_smaller_batches_are_the_same_objective():
    objective = classifier_objective()
    smaller = objective.in_batches_of(3)
    assert [len(y) for _, y in smaller.batches] == [3, 1, 3]
    torch.testing.assert_close(smaller.gradient(), objective.gradient())


def test_event_frames_are_split_by_sample():
    objective = classifier_objective()
    frames = [(x.unsqueeze(1).expand(-1, 2, -1, -1, -1).contiguous(), y) for x, y in objective.batches]
    moving = Objective(objective.model, frames)
    assert fisher_spectrum(moving).eigenvalues[WHOLE] == pytest.approx(
        fisher_spectrum(objective).eigenvalues[WHOLE], rel=1e-9
    )
