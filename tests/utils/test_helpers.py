"""Wrappers, generators and tables."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.model import MMDistributedDataParallel
from torch import nn

from a2sg_zoo.utils.markdown import markdown_table
from a2sg_zoo.utils.models import unwrap_model
from a2sg_zoo.utils.randomness import random_state, random_state_restored, set_random_state


def test_a_network_comes_out_of_its_wrapper(tmp_path):
    network = nn.Linear(2, 2)
    assert unwrap_model(network) is network
    assert unwrap_model(nn.DataParallel(network)) is network
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path / "store"}', rank=0, world_size=1)
    try:
        assert unwrap_model(MMDistributedDataParallel(network)) is network
    finally:
        torch.distributed.destroy_process_group()


def test_the_same_numbers_are_drawn_again():
    state = random_state('cpu')
    first = torch.rand(3), torch.randperm(5)
    set_random_state(state)
    assert torch.equal(torch.rand(3), first[0]) and torch.equal(torch.randperm(5), first[1])


def test_a_context_leaves_the_generators_as_they_were():
    state = random_state()
    with pytest.raises(ValueError), random_state_restored():
        torch.rand(7)
        raise ValueError
    assert torch.equal(torch.get_rng_state(), state.cpu)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_generators_of_a_device():
    state = random_state('cuda')
    first = torch.rand(3, device='cuda')
    set_random_state(state)
    assert torch.equal(torch.rand(3, device='cuda'), first)


@given(st.lists(st.tuples(st.text(), st.text()), max_size=4), st.booleans())
def test_any_text_stays_in_its_cell(rows, right):
    lines = markdown_table(['a', 'b'], rows, right).split('\n')
    assert len(lines) == 2 + len(rows)
    for line in lines:
        assert line.replace(r'\|', '').count('|') == 3 and line.startswith('| ') and line.endswith(' |')
