"""Weights in a checkpoint: their layouts, their values, and whether they fit a network."""

import argparse

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.runner import CheckpointLoader
from torch import nn

from a2sg_zoo.errors import CheckpointError
from a2sg_zoo.hub.checkpoint import load_into, read_checkpoint, weights_of
from a2sg_zoo.neurons import LIF
from tests.engine import toy
from tests.hub.misbehaving import server  # noqa: F401

# layouts

PLAIN = {'conv.weight': torch.randn(2, 3), 'conv.module.bias': torch.zeros(2), 'count': torch.tensor(3)}


def renamed(rename):
    return {rename(name): x for name, x in PLAIN.items()}


LAYOUTS = {
    'bare': PLAIN,
    'mmengine': {'state_dict': PLAIN, 'meta': {}, 'optimizer': {'state': {}}},
    'timm': {'state_dict': PLAIN, 'arch': 'x', 'args': argparse.Namespace(lr=1)},
    'mae': {'model': PLAIN, 'optimizer': {}, 'epoch': 3},
    'tutorial': {'model_state_dict': PLAIN, 'epoch': 3},
    'small repository': {'net': PLAIN, 'acc': 93.1},
    'deepspeed': {'module': PLAIN, 'global_steps': 3},
    'nested': {'state_dict': {'model': PLAIN}},
    'parallel': {'state_dict': renamed('module.{}'.format)},
    'compiled': {'model': renamed('_orig_mod.{}'.format)},
    'compiled in parallel': renamed('module._orig_mod.{}'.format),
    'parallel and compiled': renamed('_orig_mod.module.{}'.format),
    'parallel twice': renamed('module.module.{}'.format),
    'a part compiled': {'state_dict': renamed(lambda name: name.replace('conv.', 'conv._orig_mod.'))},
}


@pytest.mark.parametrize('layout', LAYOUTS)
def test_every_layout_gives_the_same_weights(layout, tmp_path):
    torch.save(LAYOUTS[layout], tmp_path / 'w.pth')
    found = weights_of(read_checkpoint(tmp_path / 'w.pth'), 'w.pth')
    assert found.keys() == PLAIN.keys() and all(torch.equal(found[name], x) for name, x in PLAIN.items())
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'w.pth'))['state_dict']
    assert list(loaded) == list(PLAIN)


NAMES = st.lists(st.text('abc01_', min_size=1).filter('_orig_mod'.__ne__), min_size=1, max_size=4).map('.'.join)


@given(
    names=st.sets(NAMES, min_size=1, max_size=6),
    wrappers=st.lists(st.sampled_from(['module.', '_orig_mod.']), max_size=3),
    keys=st.lists(st.sampled_from(['state_dict', 'model', 'net']), max_size=3),
    part=st.text('abc', min_size=1, max_size=1),
)
def test_wrappers_leave_no_trace(names, wrappers, keys, part):
    weights = {name: torch.tensor(float(i)) for i, name in enumerate(sorted(names))}
    contents = {''.join(wrappers) + name.replace(f'{part}.', f'{part}._orig_mod.'): x for name, x in weights.items()}
    for key in keys:
        contents = {key: contents, 'epoch': 3}
    assert weights_of(contents, 'x.pth') == weights


@pytest.mark.parametrize(
    'contents',
    [
        {},
        {'epoch': 3},
        {'state_dict': {}},
        {'state_dict': {'model': {}}},
        {'state_dict': [torch.zeros(1)]},
        {3: torch.zeros(1)},
        [torch.zeros(1)],
        torch.zeros(1),
        'text',
        None,
        {'a': torch.zeros(1), '_orig_mod.a': torch.ones(1)},
    ],
    ids=str,
)
def test_what_holds_no_weights(contents, tmp_path):
    torch.save(contents, tmp_path / 'w.pth')
    for read in (lambda path: weights_of(read_checkpoint(path), path), CheckpointLoader.load_checkpoint):
        with pytest.raises(CheckpointError, match='w.pth'):
            read(str(tmp_path / 'w.pth'))


def test_a_checkpoint_that_contains_itself():
    contents = {'epoch': {}}
    contents['model'] = contents
    with pytest.raises(CheckpointError, match='x.pth'):
        weights_of(contents, 'x.pth')


def test_weights_of_a_compiled_network_and_back():
    plain, compiled = (nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3)) for _ in range(2))
    compiled[0] = torch.compile(compiled[0])
    assert '0._orig_mod.weight' in compiled.state_dict()
    load_into(compiled, plain.state_dict(), 'f')
    assert torch.equal(compiled[0].weight, plain[0].weight)
    load_into(plain, weights_of(torch.compile(compiled).state_dict(), 'f'), 'f')


@pytest.mark.parametrize(
    'change',
    [
        torch.Tensor.to_sparse,
        torch.Tensor.to_sparse_csr,
        lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
        lambda x: x.byte().view(torch.float4_e2m1fn_x2),
        lambda x: x.byte().view(torch.uint4),
    ],
    ids=['COO', 'CSR', 'quantized', 'F4', 'uint4'],
)
@pytest.mark.filterwarnings('ignore::UserWarning')
def test_tensors_that_no_parameter_can_hold_are_named(change):
    with pytest.raises(CheckpointError, match=r'w.pth.*blocks\.3\.bias') as error:
        weights_of({'fine': torch.zeros(3), 'blocks.3.bias': change(torch.eye(3))}, 'w.pth')
    assert 'fine' not in str(error.value)


# NaN and infinity


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize(
    'dtype', [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float8_e5m2, torch.complex64]
)
def test_weights_that_are_not_finite_are_named(value, dtype, tmp_path):
    weights = {'fine': torch.zeros(3), 'blocks.3.bias': torch.zeros(2, 3, 4)}
    weights['blocks.3.bias'][1, 2, 3] = value
    weights['blocks.3.bias'] = weights['blocks.3.bias'].to(dtype)
    if dtype == torch.complex64:
        weights['blocks.3.bias'] = weights['blocks.3.bias'] * 1j
    torch.save(weights, tmp_path / 'w.pth')
    for read in (lambda path: weights_of(read_checkpoint(path), path), CheckpointLoader.load_checkpoint):
        with pytest.raises(CheckpointError, match=r'w.pth.*blocks\.3\.bias') as error:
            read(str(tmp_path / 'w.pth'))
        assert 'fine' not in str(error.value)


@given(
    shape=st.lists(st.integers(0, 3), max_size=4),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.int64, torch.bool, torch.uint8]),
    data=st.data(),
)
def test_finite_is_what_torch_calls_finite(shape, dtype, data):
    x = torch.zeros(shape).to(dtype)
    if x.numel() and dtype.is_floating_point:
        place = data.draw(st.integers(0, x.numel() - 1))
        x.view(-1)[place] = data.draw(st.sampled_from([0.0, 1.0, float('nan'), float('inf')]))
    x = x.transpose(0, -1) if x.dim() > 1 and data.draw(st.booleans()) else x
    expected = bool(x.isfinite().all())
    try:
        weights_of({'x': x}, 'f')
        assert expected
    except CheckpointError:
        assert not expected


def test_repeated_data_takes_no_time():
    weights_of({'x': torch.zeros(()).expand(10**6, 10**6, 10**3)}, 'f')
    with pytest.raises(CheckpointError, match='x'):
        weights_of({'x': torch.tensor(float('nan')).expand(10**6, 10**6)}, 'f')


def test_training_from_such_weights_names_the_tensor(tmp_path):
    toy.runner(tmp_path / 'a', max_iters=1).train()
    path = tmp_path / 'a' / 'iter_1.pth'
    contents = torch.load(path, weights_only=False)
    contents['state_dict']['features.0.weight'][0, 0] = float('nan')
    torch.save(contents, path)
    for resume in (True, False):
        with pytest.raises(CheckpointError, match=f'{path}.*features.0.weight'):
            toy.runner(tmp_path / 'b', load_from=str(path), resume=resume).train()


# fitting


def test_load_into_lists_what_does_not_fit_and_changes_nothing():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    weights = {
        '0.weight': torch.zeros(2, 2),
        '1.weight': torch.zeros(4, 2),
        '1.bias': torch.zeros(3),
        'x.y': torch.ones(1),
    }
    with pytest.raises(CheckpointError) as error:
        load_into(model, weights, 'some/file.pth')
    for part in ('some/file.pth', '0.bias', 'x.y', '1.weight (4, 2) here (3, 2)'):
        assert part in str(error.value)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_load_into_allows_what_it_is_told_to():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    load_into(
        model,
        {'0.weight': torch.ones(2, 2), '0.bias': torch.ones(2), 'head.w': torch.ones(1)},
        'f',
        allow_missing=['1.*'],
        allow_unexpected=['head.*'],
    )
    assert model[0].weight.sum() == 4


def test_a_long_list_is_cut():
    with pytest.raises(CheckpointError, match=r'20 .*: (\d\.(weight|bias), ){8}\.\.\.'):
        load_into(nn.Sequential(*[nn.Linear(1, 1) for _ in range(10)]), {}, 'f')


def test_the_length_of_a_window_may_differ():
    model = nn.Sequential(LIF())
    load_into(model, {'0.beta': torch.tensor([1.0, 2.0, 3.0])}, 'f')
    assert model[0].beta.tolist() == [1, 2, 3]


def test_a_vector_of_another_name_has_its_own_length():
    """A norm's `beta` is no window."""
    model = nn.Module()
    model.beta = nn.Parameter(torch.zeros(4))
    with pytest.raises(CheckpointError, match=r'beta \(7,\) here \(4,\)'):
        load_into(model, {'beta': torch.zeros(7)}, 'f')


@pytest.mark.parametrize('dtype', [torch.complex64, torch.int8, torch.bool])
def test_weights_are_floating_point_numbers(dtype):
    model = nn.BatchNorm1d(2)
    fitting = model.state_dict()
    load_into(model, {**fitting, 'weight': torch.ones(2, dtype=torch.float8_e5m2)}, 'f')
    with pytest.raises(CheckpointError, match=f'weight {dtype} here torch.float32'):
        load_into(model, {**fitting, 'weight': torch.ones(2, dtype=dtype)}, 'f')
