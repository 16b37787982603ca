"""The compiled passes against the same passes step by step, and against plain autograd."""

import os
import subprocess
import sys
from functools import partial

import pytest
import torch
from torch._dynamo.exc import InternalTorchDynamoError

from a2sg_zoo.models.backbones.qkformer import AcrossBatch
from a2sg_zoo.neurons import IF, LIF, PLIF, fused, multistep_reference
from a2sg_zoo.registry import SURROGATES
from tests.marks import slow_unless

pytestmark = [pytest.mark.filterwarnings('ignore'), pytest.mark.usefixtures('compiler')]
QUICK = 'lif', 'plif', 'half'


@pytest.fixture
def compiled(monkeypatch):
    """Has tensors of any size compiled, and gives the dictionary of what was."""
    monkeypatch.setattr(fused, 'SMALL', 0)
    monkeypatch.setattr(fused, '_compiled', {})
    yield fused._compiled
    torch.compiler.reset()


def both(neuron, x, g):
    """(s, dx), compiled and step by step."""
    results = []
    for stance in ('default', 'force_eager'):
        with torch.compiler.set_stance(stance):
            leaf = x.detach().clone().requires_grad_()
            s = neuron(leaf)
            neuron.zero_grad()
            s.backward(g)
            learned = [p.grad.clone() for p in neuron.parameters()]
            with torch.no_grad():
                assert torch.equal(neuron(x), s)
            results.append((s.detach(), leaf.grad, learned))
    return results


def current(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        (torch.randn(shape, generator=generator) * 1.5 + 0.5).to(dtype),
        torch.randn(shape, generator=generator).to(dtype),
    )


CASES = dict(
    one=(lambda: LIF(), (1, 2, 3), torch.float32),
    lif=(lambda: LIF(), (4, 2, 3, 5, 5), torch.float32),
    summed_soft=(lambda: LIF(decay_input=False, reset='soft', detach_reset=False, tau=3.0), (3, 2, 5), torch.float32),
    v_reset=(lambda: LIF(v_reset=-0.3, detach_reset=False, surrogate=dict(type='ASY')), (3, 2, 5), torch.float64),
    plif=(lambda: PLIF(), (4, 2, 7), torch.float32),
    integrate=(lambda: IF(surrogate=dict(type='BOX')), (2, 3, 4), torch.float32),
    half=(lambda: LIF(tau=1.7), (4, 3, 11), torch.float16),
    brain=(lambda: LIF(tau=1.7), (4, 3, 11), torch.bfloat16),
)


@pytest.mark.parametrize('name', slow_unless(CASES, QUICK))
def test_compiled_is_step_by_step_to_the_bit(name, compiled):
    make, shape, dtype = CASES[name]
    neuron = make()
    x, g = current(*shape, dtype=dtype)
    (s, dx, learned), (s_eager, dx_eager, learned_eager) = both(neuron, x, g)
    assert 0 < s.float().mean() < 1 and dx.abs().sum() > 0
    assert all(callable(f) and hasattr(f, '_torchdynamo_orig_callable') for f in compiled.values()) and compiled
    assert torch.equal(s, s_eager) and torch.equal(dx, dx_eager)
    for a, b in zip(learned, learned_eager):
        torch.testing.assert_close(a, b)


@pytest.mark.slow
@pytest.mark.parametrize('surrogate', sorted(SURROGATES.module_dict))
@pytest.mark.parametrize('T', [1, 2, 5, 16])
def test_every_shape_of_surrogate(surrogate, T, compiled):
    config = dict(type=surrogate)
    try:
        SURROGATES.build(config)
    except TypeError:
        pytest.skip(f'{surrogate} wraps another')
    for kwargs in (dict(), dict(reset='soft'), dict(decay_input=False, detach_reset=False)):
        neuron = LIF(surrogate=config, **kwargs)
        neuron.beta = torch.linspace(0.5, 1.5, T)
        x, g = current(T, 3, 7, seed=T)
        (s, dx, _), (s_eager, dx_eager, _) = both(neuron, x, g)
        assert torch.equal(s, s_eager)
        torch.testing.assert_close(dx, dx_eager, rtol=1e-5, atol=1e-6)


LAYOUTS = dict(
    packed=lambda x: x,
    channels_last=lambda x: x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, x.shape[:2]),
    transposed=lambda x: x.transpose(2, 4).contiguous().transpose(2, 4),
    strided=lambda x: x.repeat_interleave(2, 4)[..., ::2],
    batch_first=lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    every_second_step=lambda x: x.repeat_interleave(2, 0)[::2],
    repeated=lambda x: x[:1].expand_as(x),
)


@pytest.mark.parametrize('grad_layout', ['packed', 'channels_last', 'strided'])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_any_layout_in_memory(layout, grad_layout):
    x, g = current(4, 2, 3, 4, 5, dtype=torch.float64)
    x, g = LAYOUTS[layout](x), LAYOUTS[grad_layout](g)
    neuron = LIF(surrogate=dict(type='ASY')).double()
    leaf = x.detach().requires_grad_()
    s = neuron(leaf)
    (dx,) = torch.autograd.grad(s, leaf, g)
    plain = x.detach().clone().requires_grad_()
    expected = multistep_reference(plain, neuron.rate, neuron.dynamics, neuron.surrogate, neuron.beta)
    (dx_expected,) = torch.autograd.grad(expected, plain, g)
    assert torch.equal(s, expected) and s.shape == x.shape
    torch.testing.assert_close(dx, dx_expected, rtol=1e-12, atol=1e-12)


def test_channels_last_in_channels_last_out():
    x = LAYOUTS['channels_last'](current(4, 2, 3, 4, 5)[0]).requires_grad_()
    s = LIF()(x)
    assert s.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    (dx,) = torch.autograd.grad(s.sum(), x)
    assert dx.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_rounds_u_once_a_step(dtype):
    """Calculated in float32 throughout and rounded where u is stored: the spikes of that, and gradients close to it."""
    x, g = current(6, 4, 50, dtype=dtype)
    neuron = LIF(tau=1.7)
    leaf = x.clone().requires_grad_()
    s = neuron(leaf)
    v, r = torch.zeros(4, 50), 1 / 1.7
    for t in range(6):
        u = (x[t].float() * r + v * (1 - r)).to(dtype).float()
        assert torch.equal(s[t].float(), (u >= 1).float())
        v = u * (u < 1)
    (dx,) = torch.autograd.grad(s, leaf, g)
    wide = x.float().requires_grad_()
    (dx_wide,) = torch.autograd.grad(neuron(wide), wide, g.float())
    close = torch.isclose(dx.float(), dx_wide, rtol=0.02, atol=0.02)
    # the others stand at the threshold or at the window's edge
    assert dx.dtype == dtype and close.float().mean() > 0.97


def test_a_threshold_that_half_precision_lacks_is_not_rounded():
    """0.7 lies between two numbers of bfloat16; the lower one does not reach it, forwards as backwards."""
    below = torch.tensor(0.7).bfloat16()
    assert below.float() < 0.7
    x = below.expand(2, 1).clone().requires_grad_()
    s = IF(v_threshold=0.7, surrogate=dict(type='BOX', beta=2.0))(x)
    assert s.tolist() == [[0], [1]]
    s[1].backward(torch.ones(1, dtype=x.dtype))
    assert x.grad.tolist() == [[0.25], [0.25]]  # no reset in between, which would have ended the first step's part


@pytest.mark.parametrize('decay_input', [True, False])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_a_learned_time_constant_under_autocast_keeps_its_precision(dtype, decay_input):
    """Numbers that all of float16 and bfloat16 hold exactly, with a sum that neither does: any error is the sum's."""
    x = torch.randint(0, 8, (3, 40, 1000), dtype=torch.float64) / 2
    g = torch.randint(0, 9, x.shape, dtype=torch.float64) * 2
    neuron = PLIF(decay_input=decay_input, v_threshold=2.0, surrogate=dict(type='BOX', beta=1.0))
    leaf = x.to(dtype).requires_grad_()
    s = neuron(leaf)
    s.backward(g.to(dtype))
    rate = neuron.rate.detach().double().requires_grad_()
    wide = x.requires_grad_()
    expected = multistep_reference(wide, rate, neuron.dynamics, neuron.surrogate, 1.0)
    expected.backward(g)
    assert torch.equal(s.double(), expected) and torch.equal(leaf.grad.double(), wide.grad)
    dw = float(rate.grad * rate * (1 - rate))  # r = sigmoid(w)
    assert abs(rate.grad) > 65504 and wide.grad.abs().max() < 64
    assert neuron.w.grad.dtype == torch.float32 and float(neuron.w.grad) == pytest.approx(dw, rel=1e-6)


@pytest.mark.parametrize(
    'make, dtype, wide',
    [
        (LIF, torch.float32, 2**16),
        (LIF, torch.float32, 0),
        (lambda: PLIF(v_reset=-0.3, reset='soft', detach_reset=False), torch.bfloat16, 0),
    ],
    ids=['copied', 'in_place', 'plif'],
)
def test_chunks_of_a_long_sequence_are_step_by_step_to_the_bit(make, dtype, wide, compiled, monkeypatch):
    """One kernel serves all chunks and all longer sequences; the rest is not compiled."""
    monkeypatch.setattr(fused, 'MAX_STEPS', 5)
    monkeypatch.setattr(fused, 'CHUNK', 3)
    monkeypatch.setattr(fused, 'WIDE', wide)
    neuron, count = make(), None
    for T in (6, 11, 21):
        neuron.beta = torch.linspace(0.5, 1.5, T)
        x, g = current(T, 2, 5, dtype=dtype, seed=T)
        (s, dx, learned), (s_eager, dx_eager, learned_eager) = both(neuron, x, g)
        assert torch.equal(s, s_eager) and torch.equal(dx, dx_eager) and s.any() and dx.any()
        for a, b in zip(learned, learned_eager):
            torch.testing.assert_close(a, b)
        assert count in (None, len(compiled))
        count = len(compiled)
    # where kernels write in place, spikes alone have one of their own
    assert count == (3 if wide == 0 else 2) and {key[4] for key in compiled} == {3}
    # the same kernels serve a caller who goes through time by itself
    leaf, state, spikes = x.detach().requires_grad_(), None, []
    for part in leaf.split(7):
        s, state = neuron.advance(part, state)
        spikes.append(s)
    (dx_parts,) = torch.autograd.grad(torch.cat(spikes), leaf, g)
    assert torch.equal(torch.cat(spikes), s_eager) and torch.equal(dx_parts, dx_eager) and len(compiled) == count


def test_parts_of_a_large_sequence_are_compiled_and_single_steps_are_not(compiled, monkeypatch):
    monkeypatch.setattr(fused, 'SMALL', 200)
    monkeypatch.setattr(fused, 'CHUNK', 4)
    neuron = LIF()
    for steps, number in ((1, 0), (2, 2)):
        x, g = current(24, 2, 5)
        leaf, state, spikes = x.requires_grad_(), None, []
        for part in leaf.split(steps):
            s, state = neuron.advance(part, state)
            spikes.append(s)
        (dx,) = torch.autograd.grad(torch.cat(spikes), leaf, g)
        expected = multistep_reference(leaf, neuron.rate, neuron.dynamics, neuron.surrogate, neuron.beta)
        assert torch.equal(torch.cat(spikes), expected)
        torch.testing.assert_close(dx, torch.autograd.grad(expected, leaf, g)[0])
        assert len(compiled) == number


def test_many_time_steps_are_not_unrolled(compiled, monkeypatch):
    """A neuron that takes a batch's samples for time steps sees hundreds of them."""
    monkeypatch.setattr(fused, 'CHUNK', 3)
    layer = AcrossBatch(PLIF(detach_reset=False).double())
    x, g = current(4, fused.MAX_STEPS // 4 + 1, 5, 3, dtype=torch.float64)
    s, dx, (dw,) = both(layer, x, g)[0]
    assert {key[4] for key in compiled} == {fused.CHUNK}
    neuron, x, g = layer.neuron, x.flatten(0, 1).requires_grad_(), g.flatten(0, 1)
    expected = multistep_reference(x, neuron.rate, neuron.dynamics, neuron.surrogate, neuron.beta)
    dx_expected, dw_expected = torch.autograd.grad(expected, [x, neuron.w], g)
    assert torch.equal(s.flatten(0, 1), expected)
    torch.testing.assert_close(dx.flatten(0, 1), dx_expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(dw, dw_expected, rtol=1e-10, atol=1e-12)


def test_as_many_time_steps_as_are_unrolled(compiled, monkeypatch):
    monkeypatch.setattr(fused, 'MAX_STEPS', 3)
    x, g = current(3, 2, 5)
    (s, dx, _), (s_eager, dx_eager, _) = both(LIF(), x, g)
    assert len(compiled) == 3 and torch.equal(s, s_eager) and torch.equal(dx, dx_eager)
    monkeypatch.setattr(fused, 'CHUNK', 3)
    both(LIF(), *current(4, 2, 5))
    assert {key[4] for key in compiled} == {3}


class Untraceable(SURROGATES.get('TRI')):
    def __call__(self, z, beta):
        print(end='' if float(z.sum()) else '')  # data reach Python: no compiler follows
        return super().__call__(z, beta)


def test_a_shape_that_cannot_be_compiled_runs_step_by_step(compiled, caplog):
    x, g = current(4, 3, 9)
    results = []
    for surrogate in (Untraceable(), SURROGATES.build(dict(type='TRI'))):
        leaf = x.clone().requires_grad_()
        LIF(surrogate=surrogate)(leaf).backward(g)
        results.append(leaf.grad)
    assert torch.equal(*results)
    kept = [key for key, f in compiled.items() if not hasattr(f, '_torchdynamo_orig_callable')]
    assert [key[0].__name__ for key in kept] == ['backward_pass']


class Faulty:
    """Stands in for a compiled pass: raises the errors it is given, one a call, and then answers."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def __call__(self, *args):
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        return 'compiled'


RUN_OUT = [torch.OutOfMemoryError('CUDA out of memory'), MemoryError()]
LATE = [*RUN_OUT, RuntimeError('an illegal memory access was encountered')]
COMPILER = InternalTorchDynamoError('no compiler')


@pytest.fixture
def warnings(monkeypatch):
    """What the log is told."""
    found = []
    monkeypatch.setattr(fused, 'print_log', lambda text, *args: found.append(text))
    return found


@pytest.mark.parametrize('errors', [*([error] for error in RUN_OUT), *([None, error] for error in LATE)], ids=repr)
def test_what_a_compiled_pass_runs_into_is_no_failure_to_compile(errors, compiled, monkeypatch, warnings):
    """It is raised, and the next call finds the compiled pass again."""
    faulty = Faulty(*errors)
    monkeypatch.setattr(fused, '_compile', lambda function: faulty)
    run = partial(fused.spikes_alone, torch.ones(2, 3), 0.5, LIF().dynamics)
    for error in errors:
        if error is None:
            assert run() == 'compiled'
            continue
        with pytest.raises(type(error)) as caught:
            run()
        assert caught.value is error
    assert run() == run() == 'compiled' and not warnings


@pytest.mark.parametrize('errors', [[RuntimeError('no compiler was found')], [COMPILER], [None, COMPILER]], ids=repr)
def test_what_cannot_be_compiled_runs_step_by_step_for_good(errors, compiled, monkeypatch, warnings):
    faulty = Faulty(*errors)
    monkeypatch.setattr(fused, '_compile', lambda function: faulty)
    run = partial(fused.spikes_alone, torch.full((2, 3), 3.0), 0.5, LIF().dynamics)
    found = [run() for _ in (*errors, 'once more')]
    assert found[: len(errors) - 1] == ['compiled'] * (len(errors) - 1) and faulty.errors == []
    assert all(torch.equal(s, torch.ones(2, 3)) for s in found[len(errors) - 1 :])
    assert len(warnings) == 1 and 'spikes' in warnings[0]


def test_an_error_that_is_the_callers_is_raised(compiled, monkeypatch):
    """Whatever a pass answers with when it cannot be computed at all, the next call is to try the compiler again."""
    monkeypatch.setattr(fused, '_compile', lambda function: Faulty(ValueError('the compiler met it first')))
    with pytest.raises(AttributeError):
        fused.spikes_alone(torch.ones(2, 3), 0.5, None)
    assert not compiled


def test_without_a_compiler(tmp_path):
    """As on a machine without one: a warning, and the same numbers."""
    script = tmp_path / 'script.py'
    script.write_text("""
import torch
from a2sg_zoo.neurons import LIF, fused
fused.SMALL = 0
x = torch.linspace(-1, 3, 24).view(4, 6).requires_grad_()
s = LIF()(x)
s.backward(torch.ones_like(s))
print(s.sum().item(), x.grad.sum().item())
""")
    outputs = []
    for compiler in (None, str(tmp_path / 'no-such-compiler')):
        env = dict(
            os.environ,
            TORCHINDUCTOR_CACHE_DIR=str(tmp_path / str(len(outputs))),
            OMP_NUM_THREADS='1',
            PYTHONPATH=os.pathsep.join(sys.path),
        )
        if compiler:
            env['CXX'] = compiler
        else:
            env['TORCH_COMPILE_DISABLE'] = '1'
        done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout.splitlines()[-1])
        warned = 'could not be compiled and runs step by step' in done.stdout + done.stderr
        assert warned == bool(compiler), done.stdout + done.stderr
    assert outputs[0] == outputs[1]


@pytest.mark.slow
def test_more_elements_than_32_bits_count(compiled):
    """2^31 and some, of which the last fire and the first do not; four tensors of 4.3 GB."""
    pages = os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    if pages < 19e9:
        pytest.skip(f'needs 19 GB of free memory, there are {pages / 1e9:.0f}')
    N = 2**31 + 10
    x = torch.zeros(1, N, dtype=torch.bfloat16)
    x[0, -4:] = 2
    s = LIF(decay_input=False, surrogate=dict(type='BOX', beta=2.0))(x.requires_grad_())
    assert s[0, -5:].tolist() == [0, 1, 1, 1, 1] and float(s[0, :8].sum()) == 0
    s.backward(s.detach())
    assert x.grad[0, -5:].tolist() == [0, 0.25, 0.25, 0.25, 0.25] and float(x.grad[0, :8].sum()) == 0
    assert any(hasattr(f, '_torchdynamo_orig_callable') for f in compiled.values())
