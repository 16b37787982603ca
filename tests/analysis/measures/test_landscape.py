"""The landscape against a brute-force walk; interruption, damage, parallel work."""

import math
import os
import subprocess
import sys
import time
from functools import partial

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from a2sg_zoo.analysis.measures import landscape as module
from a2sg_zoo.analysis.measures.landscape import filter_normalized_direction, loss_landscape
from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.errors import A2SGError
from tests.analysis.networks import classifier_objective, cross_entropy, perceptron

X, Y = (-0.5, 0.0, 0.5), (-0.25, 0.25)


@pytest.fixture
def objective():
    return classifier_objective(torch.float32)


def test_directions_are_normalised_by_filter(objective):
    direction = objective.split(filter_normalized_direction(objective, 3))
    for name, p, d in zip(objective.names, objective.parameters, direction):
        if p.dim() <= 1:
            assert not d.any(), name
        else:
            for w, x in zip(p, d):
                torch.testing.assert_close(x.norm(), w.norm())
    assert not torch.equal(filter_normalized_direction(objective, 3), filter_normalized_direction(objective, 4))


def test_against_brute_force(objective, tmp_path):
    weights = [p.detach().clone() for p in objective.parameters]
    found = loss_landscape(objective, tmp_path / 'l.jsonl', X, Y, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(weights, objective.parameters))
    d1, d2 = (objective.split(filter_normalized_direction(objective, s)) for s in (5, 6))
    for i, x in enumerate(X):
        for j, y in enumerate(Y):
            with torch.no_grad():
                for p, w, a, b in zip(objective.parameters, weights, d1, d2):
                    p.copy_(w + x * a + y * b)
            loss, accuracy = objective.loss_and_accuracy()
            assert found.loss[i, j] == pytest.approx(loss, rel=1e-5)
            assert found.accuracy[i, j] == accuracy and found.grid('accuracy')[j, i] == accuracy
    assert found.computed == 6 and found.grid().shape == (2, 3)


def test_one_direction_passes_through_the_minimum(objective, tmp_path):
    found = loss_landscape(objective, tmp_path / 'l.jsonl', X)
    assert found.loss[1, 0] == objective.loss() and found.grid().shape == (1, 3)


@torch.no_grad()
def test_the_accuracy_is_that_of_a_test_and_the_loss_that_of_the_training():
    whole = classifier_objective(sizes=(32,))
    model, ((inputs, targets),) = whole.model, whole.batches
    model.head.layers[-1].bias -= model(inputs).mean((0, 1))
    loss, accuracy = whole.loss_and_accuracy()
    assert accuracy == (model(inputs).mean(0).argmax(1) == targets).double().mean()
    model.test_T, model.test_flip = 1, True
    predicted = torch.stack([x['logits'].mean(0) for x in model.predict(inputs, targets)]).argmax(1)
    assert whole.loss_and_accuracy() == (loss, (predicted == targets).double().mean()) != (loss, accuracy)


def test_another_batch_size_goes_on(objective, tmp_path):
    """It changes nothing but the order of a sum; it is what a user does who ran out of memory."""
    whole = loss_landscape(objective, tmp_path / 'l.jsonl', X)
    again = loss_landscape(objective.in_batches_of(2), tmp_path / 'l.jsonl', (*X,))
    assert again.computed == 0 and again.loss == whole.loss


def segmentation(labels, size):
    model = torch.nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        model.weight.fill_(1)
        model.bias.zero_()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.full((1, 4, 4), label))) for label in labels]
    inputs = torch.ones(len(labels), 1, 4, 4)
    return Objective(
        model, [(inputs[n : n + size], samples[n : n + size]) for n in range(0, len(labels), size)], pixel_loss
    )


def pixel_loss(model, inputs, samples):
    truth = torch.cat([sample.gt_sem_seg.data for sample in samples])
    return torch.nn.functional.cross_entropy(model(inputs), truth)


@pytest.mark.parametrize('labels, size, what', [((0, 1, 0), 2, 'samples'), ((0, 1, 1), 3, 'batch size')])
def test_a_segmentation_counts_its_truth_and_its_batches(tmp_path, labels, size, what):
    loss_landscape(segmentation((0, 1, 1), 2), tmp_path / 'l.jsonl', (0.0,))
    with pytest.raises(A2SGError, match=f'l.jsonl.*{what}'):
        loss_landscape(segmentation(labels, size), tmp_path / 'l.jsonl', (0.0,))
    assert loss_landscape(segmentation((0, 1, 1), 2), tmp_path / 'l.jsonl', (0.0,)).computed == 0


def test_one_command_at_a_time(objective, tmp_path):
    def meanwhile(known, total):
        with pytest.raises(A2SGError, match='l.jsonl'):
            loss_landscape(objective, tmp_path / 'l.jsonl', X)

    assert loss_landscape(objective, tmp_path / 'l.jsonl', X, progress=meanwhile).computed == 3
    assert len((tmp_path / 'l.jsonl').read_text().splitlines()) == 4


def test_a_fingerprint_is_the_same_in_another_process(objective):
    code = (
        "import sys, torch; sys.path.insert(0, '.'); from tests.analysis.networks import classifier_objective; "
        'torch.manual_seed(7); print(classifier_objective(torch.float32).fingerprint())'
    )
    printed = {
        subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(printed) == 1


class Killed(BaseException):
    pass


def test_goes_on_after_an_interruption(objective, tmp_path):
    whole = loss_landscape(objective, tmp_path / 'whole.jsonl', X, Y)

    def stop(known, total):
        if known == 4:
            raise Killed

    path = tmp_path / 'part.jsonl'
    with pytest.raises(Killed):
        loss_landscape(objective, path, X, Y, progress=stop)
    # the kill left half a line, and the disk damaged another
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    path.write_text(''.join(lines[:2]) + lines[2].replace(',', ';', 1) + lines[3] + lines[4][:7])
    rest = loss_landscape(objective, path, X, Y)
    assert rest.computed == 4 and rest.loss == whole.loss and rest.accuracy == whole.accuracy
    assert loss_landscape(objective, path, X, Y).computed == 0


@pytest.mark.parametrize(
    'change, what',
    [
        (lambda o: dict(x=(0.0, 1.0)), r'\bx\b'),
        (lambda o: dict(seed=1), 'seed'),
        (lambda o: o.model.head.layers[0].bias.data.add_(1) is None or {}, 'weights'),
        (lambda o: setattr(o.model.backbone, 'T', 3) or {}, 'network'),
        (lambda o: setattr(o.model.head.loss, 'label_smoothing', 0.1) or {}, 'loss'),
        (lambda o: setattr(o, '_loss', cross_entropy) or {}, 'loss'),
        (lambda o: o.batches[0][1].add_(1).fmod_(3) is None or {}, 'samples'),
    ],
)
def test_points_of_another_landscape_are_refused(objective, tmp_path, change, what):
    settings = dict(x=(0.0,), seed=0)
    loss_landscape(objective, tmp_path / 'l.jsonl', **settings)
    with pytest.raises(A2SGError, match=f'l.jsonl.*{what}'):
        loss_landscape(objective, tmp_path / 'l.jsonl', **{**settings, **change(objective)})
    (tmp_path / 'l.jsonl').write_text('notes\n')
    with pytest.raises(A2SGError, match='l.jsonl.*first line'):
        loss_landscape(objective, tmp_path / 'l.jsonl', **settings)


def test_a_point_without_a_finite_loss(objective, tmp_path):
    found = loss_landscape(objective, tmp_path / 'l.jsonl', (0.0, 1e39))
    assert found.loss[1, 0] is None and math.isnan(found.grid()[0, 1]) and found.loss[0, 0] > 0
    assert 'NaN' not in (tmp_path / 'l.jsonl').read_text()


def when_both_are_here(folder, model, inputs, targets):
    """A loss that is computed once two processes have moved their weights to points of their own."""
    (folder / str(os.getpid())).touch()
    until = time.monotonic() + 250
    while len(list(folder.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    return cross_entropy(model, inputs, targets)


def test_processes_do_not_move_one_anothers_weights(tmp_path):
    # in float64: where a membrane potential lies at the threshold, another order of the sums makes another spike
    objective = perceptron(dict(type='TRI'))
    alone = loss_landscape(objective, tmp_path / 'a.jsonl', X, Y)
    (tmp_path / 'here').mkdir()
    meeting = Objective(objective.model, objective.batches, partial(when_both_are_here, tmp_path / 'here'))
    together = loss_landscape(meeting, tmp_path / 'b.jsonl', X, Y, processes=2)
    assert len(list((tmp_path / 'here').iterdir())) == 2
    assert alone.loss == pytest.approx(together.loss, rel=1e-9)


def _die(objective, seed, threads):
    import os

    os._exit(1)


@pytest.mark.slow
def test_a_process_that_dies(objective, tmp_path, monkeypatch):
    monkeypatch.setattr(module, '_start', _die)
    with pytest.raises(A2SGError, match='process'):
        loss_landscape(objective, tmp_path / 'l.jsonl', X, Y, processes=2)
