"""Precision by what the processor has, and as a run began."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from a2sg_zoo.engine.optimizers import AutoPrecisionOptimWrapper, BFloat16OptimWrapper, SAMOptimWrapper, bfloat16
from a2sg_zoo.engine.run import prepare_config
from tests.engine import toy


def wrapper(model, kind=AutoPrecisionOptimWrapper):
    return kind(torch.optim.SGD(model.parameters(), lr=0.1))


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
    wrapped = wrapper(model)
    for _ in range(2):
        assert precision_of(model, wrapped) == (torch.bfloat16 if has else torch.float32)
    assert len(said) == 1 and ('bfloat16' if has else 'float32') in said[0]
    assert precision_of(model, wrapper(model, BFloat16OptimWrapper)) == torch.bfloat16


def test_a_resumed_run_keeps_its_precision(monkeypatch):
    """On a processor of another kind, too."""
    model = toy.Net()
    for has in (True, False):
        monkeypatch.setattr(bfloat16, 'calculates_in_bfloat16', lambda device, has=has: has)
        first = wrapper(model)
        began = precision_of(model, first)
        monkeypatch.setattr(bfloat16, 'calculates_in_bfloat16', lambda device, has=has: not has)
        resumed = wrapper(model)
        resumed.load_state_dict(first.state_dict())
        assert precision_of(model, resumed) == began


def test_a_state_without_a_precision_is_read():
    model = toy.Net()
    wrapped = wrapper(model)
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


@pytest.mark.parametrize('name', ['resnet19_w16_cifar10', 'spikformer_2_128_cifar10'])
def test_a_method_may_replace_the_wrapper(tmp_path, name):
    """The schedules that choose the precision have no key of their own for it."""
    init_default_scope('a2sg_zoo')
    for methods, kind in (([], AutoPrecisionOptimWrapper), (['sam'], SAMOptimWrapper)):
        cfg = prepare_config(name, methods=methods, work_dir=tmp_path)
        assert type(build_optim_wrapper(toy.Net(), cfg.optim_wrapper)) is kind
