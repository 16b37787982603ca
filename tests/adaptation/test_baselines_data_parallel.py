"""Two processes with half a batch each: baselines choose what one process with the whole batch would."""

import pytest
import torch
from torch import distributed, multiprocessing, nn

from a2sg_zoo.adaptation import CPNG, MPDAGL, Dspike, attach
from a2sg_zoo.neurons import named_neurons

from .baseline_networks import Classifier, batch

POLICIES = dict(
    Dspike=lambda: Dspike(step=1.0, eps=0.5, directions=20),
    CPNG=lambda: CPNG(target=0.3, momentum=0),
    CPNG_own=lambda: CPNG(warm_up=1, momentum=0),
    MPDAGL=lambda: MPDAGL(),
)


def train(make, rows):
    """Two steps on a part of the batch; every number of the network's state that a policy set."""
    torch.manual_seed(2)
    model = Classifier(dropout=0.0)
    model.bn = nn.Identity()  # each process would have its own statistics
    model = model.double().train()
    policy = make()
    attach(model, policy)
    data = {name: x[rows] for name, x in batch(400).items()}
    data['inputs'] = 2 * data['inputs'].double()
    policy.prepare(model, data, 0)
    for i in range(2):
        policy.begin(i)
        model(**data, mode='loss')['loss'].backward()
    return {f'{name}.{key}': x for name, neuron in named_neurons(model).items() for key, x in neuron.named_buffers()}


def half(rank, folder):
    distributed.init_process_group('gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2)
    found = {name: train(make, slice(200 * rank, 200 * rank + 200)) for name, make in POLICIES.items()}
    torch.save(found, f'{folder}/rank{rank}.pt')
    distributed.destroy_process_group()


@pytest.fixture(scope='module')
def halves(tmp_path_factory):
    folder = tmp_path_factory.mktemp('processes')
    multiprocessing.start_processes(half, (str(folder),), nprocs=2, start_method='spawn')
    return [torch.load(folder / f'rank{rank}.pt') for rank in range(2)]


@pytest.mark.parametrize('name', POLICIES)
def test_two_halves_agree_and_equal_one_whole(name, halves):
    whole = train(POLICIES[name], slice(None))
    one, two = halves[0][name], halves[1][name]
    assert one.keys() == two.keys() == whole.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    for key, x in whole.items():
        # the mean of two quantiles is near the quantile of all, the others are equal
        torch.testing.assert_close(one[key], x, rtol=0.05 if name.startswith('CPNG') else 1e-9, atol=0)
    assert any((x != 1).all() for key, x in whole.items() if key.endswith('beta'))
