"""The samplers count the passes over the data set, in any process and after a resumption."""

import pickle
from itertools import islice

import pytest

from a2sg_zoo.datasets import SeededIndex
from a2sg_zoo.engine.samplers import ResumableEpochSampler, ResumableSampler


def taken(sampler, number):
    return [(int(i), i.seed, i.visit) for i in islice(sampler, number)]


def test_every_pass_visits_each_image_once():
    stream = taken(ResumableSampler(range(7), seed=3), 21)
    for visit in range(3):
        part = stream[7 * visit : 7 * (visit + 1)]
        assert {i for i, _, _ in part} == {*range(7)} and {v for _, _, v in part} == {visit}


@pytest.mark.parametrize('skipped', [1, 6, 7, 10, 15])
def test_a_resumed_sampler_counts_on(skipped):
    whole, resumed = ResumableSampler(range(7), seed=3), ResumableSampler(range(7), seed=3)
    resumed.skip(skipped)
    assert taken(resumed, 8) == taken(whole, skipped + 8)[skipped:]


def test_processes_share_the_count():
    whole = taken(ResumableSampler(range(7), seed=3), 20)
    for rank in range(2):
        sampler = ResumableSampler(range(7), seed=3)
        sampler.rank, sampler.world_size = rank, 2
        assert taken(sampler, 10) == whole[rank::2]


def test_the_sampler_of_epochs_counts_epochs():
    sampler = ResumableEpochSampler(range(5), seed=1)
    sampler.set_epoch(4)
    assert {visit for _, _, visit in taken(sampler, 5)} == {4}


def test_the_count_survives_the_way_to_a_worker():
    index = pickle.loads(pickle.dumps(SeededIndex(3, 7, visit=5)))
    assert (int(index), index.seed, index.visit) == (3, 7, 5)
    assert SeededIndex(3, 7).visit == 0
