import copy
import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from a2sg_zoo.datasets import SeededIndex, SeededItems, seeded


def draw():
    return random.random(), np.random.rand(), torch.rand(()).item()


class Draws(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.tensor([index, *draw()], dtype=torch.float64)


class SeededDraws(SeededItems, Draws):
    pass


class Failing(Draws):
    def __getitem__(self, index):
        draw()
        raise KeyError(index)


class SeededFailing(SeededItems, Failing):
    pass


def sampler(seed):
    return [SeededIndex(i, seed * 100 + i) for i in range(6)]


def load(seed, workers):
    kwargs = dict(multiprocessing_context='fork') if workers else {}
    loader = DataLoader(SeededDraws(), batch_size=2, sampler=sampler(seed), num_workers=workers, **kwargs)
    return torch.cat(list(loader))


def test_index_is_an_int_that_keeps_its_seed():
    index = SeededIndex(3, 2**70)
    for other in (index, pickle.loads(pickle.dumps(index)), copy.deepcopy(index)):
        assert other == 3 and [10, 20, 30, 40][other] == 40 and other.seed == 2**70
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(index, protocol)).seed == 2**70


def test_items_depend_on_index_and_seed_alone_whatever_the_workers():
    alone = load(1, 0)
    assert torch.equal(alone, load(1, 0)) and torch.equal(alone, load(1, 1)) and torch.equal(alone, load(1, 2))
    assert not torch.equal(alone, load(2, 0))
    assert len(alone.unique()) == alone.numel()
    # from the middle on, as after a resume
    assert torch.equal(SeededDraws()[SeededIndex(4, 104)], alone[4])


@pytest.mark.parametrize('dataset', [SeededDraws(), SeededFailing()])
def test_own_generators_go_on_as_if_nothing_had_been(dataset):
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = draw()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    try:
        dataset[SeededIndex(0, 5)]
    except KeyError:
        pass
    assert draw() == expected


def test_plain_index_draws_from_the_process_own_generators():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = draw()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    assert tuple(SeededDraws()[0][1:].tolist()) == pytest.approx(expected, abs=0)


def test_seeded_nests_and_takes_large_seeds():
    with seeded(2**40 + 7):
        first = draw()
        with seeded(8):
            draw()
        second = draw()
    with seeded(7):
        assert (draw(), draw()) == (first, second)
