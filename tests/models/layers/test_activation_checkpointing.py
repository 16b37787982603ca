"""Activation checkpointing: the same results to the bit, from less memory."""

import copy

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.neurons import named_neurons, recorded_potentials
from a2sg_zoo.registry import MODELS
from tests.models.backbones.test_families import FAMILIES, excite, image


def twins(name):
    torch.manual_seed(0)
    backbone = MODELS.build({**FAMILIES[name][0], 'T': 2}).train()
    excite(backbone)
    twin = copy.deepcopy(backbone)
    twin.recompute = True
    return backbone, twin


def step(backbone, x):
    (last,) = backbone(x)
    (last * torch.linspace(-1, 1, last.numel()).view_as(last)).sum().backward()
    return [last.detach(), *(p.grad for p in backbone.parameters() if p.requires_grad)]


def equal(pairs):
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize('name', FAMILIES)
def test_the_same_step(name):
    backbone, twin = twins(name)
    x = image(backbone, 2, 32, 32)
    results = step(backbone, x), step(twin, x)
    assert equal(zip(*results)) and sum(float(g.norm()) for g in results[0][1:]) > 0
    # running statistics and the count of batches, too
    assert equal(zip(backbone.state_dict().values(), twin.state_dict().values()))


@pytest.mark.parametrize('name', ['resnet19', 'meta_spikeformer'])
def test_the_same_step_under_sync_bn(name):
    """In a single process it takes the same statistics as a plain batch norm, but is stricter about its counter."""
    backbone, twin = twins(name)
    twin = torch.nn.SyncBatchNorm.convert_sync_batchnorm(twin)
    x = image(backbone, 2, 32, 32)
    for _ in range(2):
        assert equal(zip(step(backbone, x), step(twin, x)))
    assert equal(zip(backbone.state_dict().values(), twin.state_dict().values()))


def test_windows_are_chosen_once():
    pair = twins('spikformer_cifar')
    policies = [A2SG(searcher=dict(type='ExactSearcher'), candidates=16) for _ in pair]
    for backbone, policy in zip(pair, policies):
        attach(backbone, policy)
        policy.begin(0, observe=True)
    x = image(pair[0], 2, 32, 32)
    assert equal(zip(*(step(backbone, x) for backbone in pair)))
    assert equal(zip(*([n.beta for n in named_neurons(backbone).values()] for backbone in pair)))
    assert policies[0].searches == policies[1].searches
    assert [len(policy.records) for policy in policies] == [len(named_neurons(pair[0]))] * 2


def test_losses_on_potentials():
    """They reach into blocks beside the output."""
    pair = twins('resnet19')
    x, gradients = image(pair[0], 2, 32, 32), []
    for backbone in pair:
        with recorded_potentials(backbone) as potentials:
            (last,) = backbone(x)
        (last.sum() + sum(u.square().mean() for _, u in potentials)).backward()
        gradients.append([p.grad for p in backbone.parameters()])
    assert equal(zip(*gradients))


def kept(backbone, x):
    """Bytes of all that a forward pass keeps for its backward pass, and what neurons hold beside that."""
    memory = {}

    def pack(tensor):
        memory[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in backbone.parameters()}
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        backbone(x)
    return sum(size for place, size in memory.items() if place not in weights)


def test_keeps_less():
    backbone, twin = twins('resnet19')
    x = image(backbone, 2, 32, 32)
    backbone.save_spikes = twin.save_spikes = True  # its own hooks would hide what is kept
    assert kept(twin, x) < kept(backbone, x) / 3


def test_without_gradients_nothing_is_kept_or_repeated():
    _, twin = twins('resnet19')
    calls = []
    next(iter(named_neurons(twin.stages).values())).register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        twin(image(twin, 1, 32, 32))
    assert calls == [1]
