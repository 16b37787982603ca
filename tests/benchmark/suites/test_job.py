"""What a run writes of its search: shares of a log with known widths."""

from types import SimpleNamespace

import pytest
import torch

from a2sg_zoo.adaptation import A2SG
from a2sg_zoo.benchmark.suites.job import _activity, _metrics, search_summary


def record(iteration, widths, spatial, temporal):
    layers = {name: dict(beta=beta) for name, beta in widths.items()}
    return dict(iter=iteration, layers=layers, on_bound=dict(spatial=spatial, temporal=temporal))


def in_float32(*widths):
    """As the hook writes them: widths in float32, read as Python's numbers."""
    return torch.tensor(widths).tolist()


def test_widths_on_the_ends_of_the_space_at_the_last_record():
    policy = A2SG(beta_min=0.1, beta_max=2.0)
    thresholds = dict(first=1.0, second=0.5)
    log = [
        record(10, dict(first=in_float32(2.0, 2.0), second=in_float32(1.0, 1.0)), 1.0, 0.5),
        # in units of v_threshold: 0.1, 0.11, and 2.0, 2.0
        record(20, dict(first=in_float32(0.1, 0.11), second=in_float32(1.0, 1.0)), None, 0.0),
    ]
    found = search_summary(policy, thresholds, log)
    assert found == dict(
        low=0.25, high=0.5, mean=pytest.approx(4.21 / 4), spatial_on_bound=1.0, temporal_on_bound=pytest.approx(0.25)
    )


def test_best_value_of_a_metric():
    scores = [[1, dict(bits=3.0, loss=1.0)], [2, dict(bits=2.0, loss=5.0)], [3, dict(bits=2.5, loss=0.0)]]
    assert _metrics(scores, 'less') == dict(bits=2.5, loss=0.0, best_bits=2.0)
    assert _metrics(scores) == dict(bits=2.5, loss=0.0, best_bits=3.0)


def test_what_is_not_known_is_left_out():
    assert search_summary(A2SG(), {}, []) == {}
    assert search_summary(A2SG(), {}, [dict(iter=1, layers={}, on_bound=dict(spatial=None, temporal=None))]) == {}
    log = [record(1, dict(first=[*in_float32(0.5), None]), None, None)]  # null: not finite
    found = search_summary(A2SG(), dict(first=1.0), log)
    assert (found['low'], found['high']) == (0, 0) and found['spatial_on_bound'] is found['temporal_on_bound'] is None


class Batches(list):
    batch_size = 2


def test_a_training_counts_also_if_its_operations_cannot_be_counted():
    network = torch.nn.Module()  # it has no number of time steps
    network.backbone, network.data_preprocessor = torch.nn.Conv2d(3, 4, 3), lambda batch: dict(inputs=batch)
    network.forward = network.backbone.forward
    assert _activity(SimpleNamespace(model=network, val_dataloader=Batches([torch.rand(2, 3, 8, 8)]))) is None
