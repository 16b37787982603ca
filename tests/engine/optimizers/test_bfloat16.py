"""Precision by what the processor has, and as a run began."""

import pytest
import torch

from a2sg_zoo.engine.optimizers import BFloat16OptimWrapper, bfloat16
from a2sg_zoo.errors import ConfigError
from tests.engine import toy


def wrapper(model, **kwargs):
    return BFloat16OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), **kwargs)


def precision_of(model, wrapped):
    """The type that a matrix product has within the context."""
    with wrapped.optim_context(model):
        return model.head(torch.randn(2, 8)).dtype


@pytest.mark.parametrize('has', [True, False])
def test_auto_goes_by_the_processor(monkeypatch, has):
    said = []
    monkeypatch.setattr(bfloat16, 'calculates_in_bfloat16', lambda device: has)
    monkeypatch.setattr(bfloat16, 'print_log', lambda text, *args: said.append(text))
    model = toy.Net()
    wrapped = wrapper(model, enabled='auto')
    for _ in range(2):
        assert precision_of(model, wrapped) == (torch.bfloat16 if has else torch.float32)
    assert len(said) == 1 and ('bfloat16' if has else 'float32') in said[0]
    assert precision_of(model, wrapper(model)) == torch.bfloat16  # asked for


def test_a_resumed_run_keeps_its_precision(monkeypatch):
    """On a processor of another kind, too."""
    model = toy.Net()
    for has in (True, False):
        monkeypatch.setattr(bfloat16, 'calculates_in_bfloat16', lambda device, has=has: has)
        first = wrapper(model, enabled='auto')
        began = precision_of(model, first)
        monkeypatch.setattr(bfloat16, 'calculates_in_bfloat16', lambda device, has=has: not has)
        resumed = wrapper(model, enabled='auto')
        resumed.load_state_dict(first.state_dict())
        assert precision_of(model, resumed) == began


def test_a_state_without_a_precision_is_read():
    model = toy.Net()
    wrapped = wrapper(model, enabled='auto')
    wrapped.load_state_dict(torch.optim.SGD(model.parameters(), lr=0.2).state_dict())
    assert wrapped.get_lr()['lr'] == [0.2] and wrapped.precision is None


def test_what_the_processor_has_is_read_from_its_flags(monkeypatch, tmp_path):
    for text, expected in (
        ('flags\t\t: fpu avx512f avx512_bf16\n', True),
        ('flags\t\t: fpu avx2 avx512f\n', False),
        ('Features\t: fp asimd bf16\n', True),
        ('model name\t: bf16\n', False),
    ):
        (tmp_path / 'cpuinfo').write_text(text)
        monkeypatch.setattr(bfloat16, 'Path', lambda path: tmp_path / 'cpuinfo')
        bfloat16.calculates_in_bfloat16.cache_clear()
        assert bfloat16.calculates_in_bfloat16('cpu') == expected
    monkeypatch.setattr(bfloat16, 'Path', lambda path: tmp_path / 'none')
    bfloat16.calculates_in_bfloat16.cache_clear()
    assert not bfloat16.calculates_in_bfloat16('cpu')
    bfloat16.calculates_in_bfloat16.cache_clear()


@pytest.mark.parametrize('value', [False, 'yes', 1.0, None])
def test_other_values_are_refused(value):
    with pytest.raises(ConfigError, match='enabled'):
        wrapper(toy.Net(), enabled=value)
