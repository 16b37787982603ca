"""The language models: causality, all positions at once against one at a time, and generation."""

import pytest
import torch
import torch.nn.functional as F

from a2sg_zoo.adaptation import A2SG, Fixed, attach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.language import LanguageModel
from a2sg_zoo.models.language.spikegpt import DecayedAttention, TokenShift
from a2sg_zoo.registry import NEURONS

BACKBONES = dict(
    spikegpt=dict(type='SpikeGPT', embed_dims=16, depth=2, num_heads=2, T=12),
    gru=dict(type='TextGRU', embed_dims=8, hidden=16, depth=2, T=12),
    transformer=dict(type='TextTransformer', embed_dims=16, depth=2, num_heads=2, T=12),
)


def network(name='spikegpt', symbols=20, **overrides):
    torch.manual_seed(0)
    backbone = dict(BACKBONES[name], vocabulary=symbols, **overrides)
    return LanguageModel(backbone, dict(type='LanguageHead', in_channels=16, num_classes=symbols)).double().eval()


@pytest.fixture
def text():
    return torch.randint(20, (3, 12), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('name', BACKBONES)
@pytest.mark.parametrize('training', [False, True])
def test_an_output_depends_on_nothing_later(name, training, text):
    model = network(name).train(training)
    before = model(text)
    for t in range(12):
        changed = text.clone()
        changed[:, t] = (text[:, t] + 1) % 20
        after = model(changed)
        assert after[:t].equal(before[:t]) and not after[t].equal(before[t])


@pytest.mark.parametrize('name', BACKBONES)
def test_an_output_depends_on_what_is_long_before(name, text):
    model = network(name)
    changed = text.clone()
    changed[:, 0] = (text[:, 0] + 1) % 20
    assert not model(changed)[-1].equal(model(text)[-1])


@pytest.mark.parametrize('name', BACKBONES)
def test_the_gradient_of_a_position_reaches_nothing_later(name, text):
    model, seen = network(name).train(), []
    model.backbone.embedding.register_forward_hook(lambda module, args, y: seen.append(y) or y.retain_grad())
    model(text)[5].sum().backward()
    reached = seen[0].grad.abs().sum((1, 2)) > 0
    assert not reached[6:].any() and reached[5]


def attention_by_loops(qkv, gamma):
    """The recurrence S[t] = gamma S[t-1] + k v^T, y = q^T S, one number at a time."""
    T, B, C = qkv.shape
    heads, d = len(gamma), C // 3 // len(gamma)
    q, k, v = qkv.view(T, B, 3, heads, d).unbind(2)
    y = torch.zeros(T, B, heads, d, dtype=qkv.dtype)
    for b in range(B):
        for h in range(heads):
            S = torch.zeros(d, d, dtype=qkv.dtype)
            for t in range(T):
                S = gamma[h] * S + torch.outer(k[t, b, h], v[t, b, h])
                y[t, b, h] = q[t, b, h] @ S
    return y.flatten(2)


def test_decayed_attention_is_the_recurrence():
    layer = DecayedAttention(8, 2).double()
    qkv = (torch.rand(9, 2, 24, dtype=torch.float64) > 0.5).double()
    gamma = layer.w.sigmoid()
    torch.testing.assert_close(1 / (1 - gamma), torch.tensor([2.0, 4.0], dtype=torch.float64))
    torch.testing.assert_close(layer(qkv), attention_by_loops(qkv, gamma))
    assert torch.autograd.gradcheck(layer, torch.rand(4, 1, 24, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize('layer', [DecayedAttention(8, 2), TokenShift(24)], ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize('cuts', [(1, 8), (4, 5), (1,) * 9])
def test_pieces_are_the_whole(layer, cuts):
    layer, state, outputs = layer.double(), None, []
    x = torch.rand(9, 2, 24, dtype=torch.float64)
    for piece in x.split(cuts):
        y, state = layer.advance(piece, state)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs), layer(x))


def test_attention_over_a_long_text_is_finite():
    """No power of a decay overflows, and its gradient is finite where the power is 0."""
    layer = DecayedAttention(8, 2)
    layer.w.data[0] = -30.0
    layer(torch.ones(2000, 1, 24)).sum().backward()
    assert layer.w.grad.isfinite().all()


@pytest.mark.parametrize('name', BACKBONES)
def test_trains_in_mixed_precision(name, text):
    model = network(name).float().train()
    with torch.autocast('cpu', torch.bfloat16):
        logits = model(text)
    logits.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_positions_are_exact_in_bfloat16():
    layer = DecayedAttention(8, 2)
    layer.w.data[:] = 8.0  # a long memory: 1 / (1 - gamma) is 2982
    qkv = (torch.rand(600, 1, 24) > 0.5).float()
    y = layer.bfloat16()(qkv.bfloat16()).float()
    torch.testing.assert_close(y, attention_by_loops(qkv, layer.w.float().sigmoid()), rtol=0.03, atol=0.5)


@pytest.mark.parametrize('name', BACKBONES)
@pytest.mark.parametrize('cuts', [(5, 7), (1,) * 12])
def test_a_text_in_pieces_gives_the_same_logits(name, cuts, text):
    model, state, logits = network(name), None, []
    for piece in text.split(cuts, 1):
        z, state = model.advance(piece, state)
        logits.append(z)
    torch.testing.assert_close(torch.cat(logits), model(text), rtol=1e-9, atol=1e-12)


def test_a_state_is_not_changed_and_has_a_fixed_size(text):
    model = network()
    with torch.no_grad():
        _, state = model.advance(text[:, :5])
        kept = {layer: [x.clone() for x in flat(value)] for layer, value in state.items()}
        first, after = model.advance(text[:, 5:], state)
        again, _ = model.advance(text[:, 5:], state)
    assert first.equal(again)
    assert all(a.equal(b) for layer, value in state.items() for a, b in zip(flat(value), kept[layer]))
    size = [x.shape for value in state.values() for x in flat(value)]
    assert [x.shape for value in after.values() for x in flat(value)] == size


def flat(value):
    return [value] if isinstance(value, torch.Tensor) else [x for x in value if isinstance(x, torch.Tensor)]


@pytest.mark.parametrize('name', BACKBONES)
@pytest.mark.parametrize('temperature, length', [(0.0, 1), (0.7, 1), (0.7, 9)])
def test_generation_is_that_of_the_whole_text_again_and_again(name, temperature, length):
    """With carried states, and longer than T, as a prompt may be: the latest 12 symbols count for the transformer."""
    model, prompt = network(name), [1, 2, 3] * length
    found = list(model.generate(prompt, 15, temperature, seed=5))
    seen, generator = list(prompt), torch.Generator().manual_seed(5)
    for _ in range(15):
        window = seen[-12:] if name == 'transformer' else seen
        with torch.no_grad():
            scores = model(torch.tensor([window]))[-1, 0].float()
        if temperature:
            symbol = int(torch.multinomial(torch.softmax(scores / temperature, 0), 1, generator=generator))
        else:
            symbol = int(scores.argmax())
        seen.append(symbol)
    assert found == seen[len(prompt) :]
    assert list(model.generate(prompt, 15, temperature, seed=5)) == found


@pytest.mark.parametrize(
    'arguments, key',
    [
        (dict(prompt=[], length=3), 'prompt'),
        (dict(prompt=[20], length=3), 'prompt'),
        (dict(prompt=[-1], length=3), 'prompt'),
        (dict(prompt=[1], length=0), 'length'),
        (dict(prompt=[1], length=3, temperature=-1), 'temperature'),
        (dict(prompt=[1], length=3, temperature=float('nan')), 'temperature'),
    ],
)
def test_wrong_arguments_of_generation(arguments, key):
    with pytest.raises(ConfigError, match=key):
        list(network().generate(**arguments))


def test_a_tiny_temperature_and_a_large_seed():
    model = network()
    greedy = list(model.generate([1, 2], 5, temperature=0))
    assert list(model.generate([1, 2], 5, temperature=1e-320, seed=10**22)) == greedy


def test_loss_is_the_mean_cross_entropy(text):
    model = network()
    inputs, target = text[:, :-1], text[:, 1:].clone()
    target[0, :4] = -100
    logits = model(inputs).transpose(0, 1)
    nats = -F.log_softmax(logits, -1).gather(2, target.clamp(min=0)[..., None])[..., 0]
    expected = nats[target >= 0].mean()
    torch.testing.assert_close(model(inputs, target, mode='loss')['loss'], expected)
    predictions = model(inputs, target, mode='predict')
    assert predictions[1]['logits'].equal(logits[1]) and predictions[1]['target'].equal(target[1])
    with pytest.raises(ValueError):
        model(inputs, target, mode='guess')


@pytest.mark.parametrize('policy', [A2SG(interval=1, candidates=8), Fixed()], ids=lambda policy: type(policy).__name__)
def test_policies_apply(policy, text):
    model = network().float().train()
    neurons = attach(model, policy)
    policy.begin(0)
    before = {name: neuron.beta.clone() for name, neuron in neurons.items()}
    model(text, text, mode='loss')['loss'].backward()
    assert len(neurons) == 10 and all(neuron.beta.shape == (12,) for neuron in neurons.values())
    moved = [not neuron.beta.equal(before[name]) for name, neuron in neurons.items()]
    assert any(moved) == isinstance(policy, A2SG)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


# these need the number of their features
WRAPPERS = {'Recurrent'}
AT_ONCE = {'PSN', 'MaskedPSN'}


@pytest.mark.parametrize('name', sorted({*NEURONS.own_names()} - WRAPPERS - AT_ONCE))
def test_every_neuron_of_the_registry(name, text):
    model = network(neuron=dict(type=name), depth=1)
    logits = model(text)
    first, state = model.advance(text[:, :5])
    last, _ = model.advance(text[:, 5:], state)
    torch.testing.assert_close(torch.cat([first, last]), logits, rtol=1e-9, atol=1e-12)
    changed = text.clone()
    changed[:, 6] = (text[:, 6] + 1) % 20
    assert model(changed)[:6].equal(logits[:6])
    model.train()(text, text, mode='loss')['loss'].backward()


@pytest.mark.parametrize('name', sorted(AT_ONCE))
def test_neurons_that_see_the_future_are_refused(name):
    with pytest.raises(ConfigError, match=rf"neuron\.type.*'{name}'"):
        network(neuron=dict(type=name))


def test_recomputation_gives_the_same_gradients(text):
    gradients = []
    for recompute in (False, True):
        model = network(recompute=recompute).train()
        model(text, text, mode='loss')['loss'].backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(a.equal(b) for a, b in zip(*gradients))


@pytest.mark.parametrize(
    'name, arguments, key',
    [
        ('spikegpt', dict(depth=0), 'depth'),
        ('spikegpt', dict(num_heads=3), r'\b3\b'),
        ('spikegpt', dict(mlp_ratio=0), 'mlp_ratio'),
        ('gru', dict(depth=0), 'depth'),
        ('gru', dict(T=0), 'T'),
        ('transformer', dict(num_heads=3), r'\b3\b'),
    ],
)
def test_wrong_arguments(name, arguments, key):
    with pytest.raises(ConfigError, match=key):
        network(name, **arguments)


def test_parts_with_different_vocabularies():
    with pytest.raises(ConfigError, match='vocabulary'):
        LanguageModel(dict(BACKBONES['gru'], vocabulary=20), dict(type='LanguageHead', in_channels=16, num_classes=21))


def test_a_text_longer_than_the_transformer():
    with pytest.raises(ConfigError, match=r'T = 12.*\b13\b'):
        network('transformer')(torch.zeros(1, 13, dtype=torch.long))
