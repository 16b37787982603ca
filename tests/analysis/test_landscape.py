"""The landscape against a brute-force walk; interruption, damage, parallel work."""

import math
import os
import time
from functools import partial

import pytest
import torch

from a2sg_zoo.analysis import landscape as module
from a2sg_zoo.analysis.landscape import filter_normalized_direction, landscape
from a2sg_zoo.analysis.objective import Objective
from a2sg_zoo.errors import A2SGError

from .networks import classifier_objective, cross_entropy, perceptron

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
    found = landscape(objective, tmp_path / 'l.jsonl', X, Y, seed=5)
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
    found = landscape(objective, tmp_path / 'l.jsonl', X)
    assert found.loss[1, 0] == objective.loss() and found.grid().shape == (1, 3)


class Killed(BaseException):
    pass


def test_goes_on_after_an_interruption(objective, tmp_path):
    whole = landscape(objective, tmp_path / 'whole.jsonl', X, Y)

    def stop(known, total):
        if known == 4:
            raise Killed

    path = tmp_path / 'part.jsonl'
    with pytest.raises(Killed):
        landscape(objective, path, X, Y, progress=stop)
    # the kill left half a line, and the disk damaged another
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    path.write_text(''.join(lines[:2]) + lines[2].replace(',', ';', 1) + lines[3] + lines[4][:7])
    rest = landscape(objective, path, X, Y)
    assert rest.computed == 4 and rest.loss == whole.loss and rest.accuracy == whole.accuracy
    assert landscape(objective, path, X, Y).computed == 0


@pytest.mark.parametrize('change, message', [
    (lambda o: dict(x=(0.0, 1.0)), 'differs in x'),
    (lambda o: dict(seed=1), 'differs in seed'),
    (lambda o: o.model.head.layers[0].bias.data.add_(1) is None or {}, 'differs in weights or samples'),
])
def test_points_of_another_landscape_are_refused(objective, tmp_path, change, message):
    settings = dict(x=(0.0,), seed=0)
    landscape(objective, tmp_path / 'l.jsonl', **settings)
    with pytest.raises(A2SGError, match=message):
        landscape(objective, tmp_path / 'l.jsonl', **{**settings, **change(objective)})
    (tmp_path / 'l.jsonl').write_text('notes\n')
    with pytest.raises(A2SGError, match='first line is damaged'):
        landscape(objective, tmp_path / 'l.jsonl', **settings)


def test_a_point_without_a_finite_loss(objective, tmp_path):
    found = landscape(objective, tmp_path / 'l.jsonl', (0.0, 1e39))
    assert found.loss[1, 0] is None and math.isnan(found.grid()[0, 1]) and found.loss[0, 0] > 0
    assert 'NaN' not in (tmp_path / 'l.jsonl').read_text()


def when_both_are_here(folder, model, inputs, targets):
    """A loss that is computed once two processes have moved their weights to points of their own."""
    (folder / str(os.getpid())).touch()
    until = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(.01)
    return cross_entropy(model, inputs, targets)


def test_processes_do_not_move_one_anothers_weights(tmp_path):
    # in float64: where a membrane potential lies at the threshold, another order of the sums makes another spike
    objective = perceptron(dict(type='TRI'))
    alone = landscape(objective, tmp_path / 'a.jsonl', X, Y)
    (tmp_path / 'here').mkdir()
    meeting = Objective(objective.model, objective.batches, partial(when_both_are_here, tmp_path / 'here'))
    together = landscape(meeting, tmp_path / 'b.jsonl', X, Y, processes=2)
    assert len(list((tmp_path / 'here').iterdir())) == 2
    assert alone.loss == pytest.approx(together.loss, rel=1e-9)


def _die(objective, seed, threads):
    import os
    os._exit(1)


@pytest.mark.slow
def test_a_process_that_dies(objective, tmp_path, monkeypatch):
    monkeypatch.setattr(module, '_start', _die)
    with pytest.raises(A2SGError, match='a process .* died'):
        landscape(objective, tmp_path / 'l.jsonl', X, Y, processes=2)
