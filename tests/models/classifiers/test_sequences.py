"""How sequences (B, T, F) reach a network and its head."""

import pytest
import torch
from torch import nn

from a2sg_zoo.engine.metrics.classification import Accuracy
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.classifiers import LinearHead, SpikingClassifier
from a2sg_zoo.models.layers import SequenceDropout, check_sequence, linear_norm


class RunningSum(nn.Module):
    """A stand-in for a causal backbone: (T, B, F) to the sums over time so far."""

    def __init__(self, in_features, T, time='keep'):
        super().__init__()
        self.in_features, self.T, self.time = in_features, T, time

    def forward(self, x, T=None):
        return (check_sequence(x, self.in_features, self.T if T is None else T).cumsum(0),)


def classifier(**kwargs):
    return SpikingClassifier(
        dict(type=RunningSum, in_features=5, T=7), dict(type='LinearHead', in_channels=5, num_classes=3), **kwargs
    )


def test_time_comes_first_in_the_network_and_second_in_the_batch():
    model, x = classifier().eval(), torch.rand(4, 7, 5)
    logits = model(x)
    linear = model.head.layers[0]
    torch.testing.assert_close(logits, (x.cumsum(1) @ linear.weight.T + linear.bias).transpose(0, 1))
    assert model(x, torch.arange(4) % 3, mode='loss')['loss'].isfinite()


def test_sequences_have_no_mirror_image():
    with pytest.raises(ConfigError, match='test_cfg.flip'):
        classifier(test_cfg=dict(flip=True)).eval()(torch.rand(4, 7, 5), torch.arange(4) % 3, mode='predict')


def test_fewer_time_steps_take_the_first_ones():
    model, x, labels = classifier(test_cfg=dict(T=3)).eval(), torch.rand(4, 7, 5), torch.arange(4) % 3
    predictions = model(x, labels, mode='predict')
    torch.testing.assert_close(torch.stack([p['logits'] for p in predictions], 1), model(x)[:3])


def test_mixup_mixes_samples_not_time(monkeypatch):
    model, x = classifier(mixing=[dict(type='torchvision/MixUp', alpha=0.5)]), torch.rand(2, 7, 5)
    monkeypatch.setattr(torch, '_sample_dirichlet', lambda concentration: torch.tensor([[0.25, 0.75]]))
    seen = []
    model.backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model.loss(x, torch.tensor([0, 1]))
    torch.testing.assert_close(seen[0], (0.25 * x + 0.75 * x[[1, 0]]).transpose(0, 1))


@pytest.mark.parametrize(
    'shape, keys',
    [((2, 7, 6), r'in_features = 5.*\b6\b'), ((2, 8, 5), r'T = 7.*\b8\b'), ((2, 7, 5, 1), r'\(2, 7, 5, 1\)')],
)
def test_data_that_do_not_fit_the_network(shape, keys):
    with pytest.raises(ConfigError, match=keys):
        classifier()(torch.rand(shape), torch.tensor([0, 1]), mode='loss')


def test_a_grid_needs_space():
    head = LinearHead(in_channels=2, num_classes=3, grid=2)
    with pytest.raises(ConfigError, match='grid = 2'):
        head(torch.rand(4, 1, 2))


def test_linear_norm_normalises_over_batch_and_time():
    x = torch.randn(6, 4, 3)
    layer = linear_norm(3, 8).train()
    y = layer(x)
    expected = x @ layer.linear.weight.T
    expected = (expected - expected.mean((0, 1))) / (expected.var((0, 1), unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(y, expected)
    assert linear_norm(3, 8, None).linear.bias is not None
    torch.testing.assert_close(linear_norm(3, 8, 'layer')(x).mean(-1), torch.zeros(6, 4), atol=1e-5, rtol=0)
    with pytest.raises(ConfigError, match="norm.*'group'"):
        linear_norm(3, 8, 'group')


def test_dropout_has_one_mask_for_all_time_steps():
    layer, x = SequenceDropout(0.25), torch.rand(5, 8, 200) + 1
    y = layer(x)
    kept = y[0] != 0
    torch.testing.assert_close(y, x * kept / 0.75)
    assert 0.7 < kept.float().mean() < 0.8
    assert layer.eval()(x) is x
    with pytest.raises(ConfigError, match='dropout'):
        SequenceDropout(1.0)


def test_scores_over_long_time_are_few():
    logits = torch.zeros(100, 2)
    logits[:, 1] = 1
    metric = Accuracy()
    metric.process(None, [dict(logits=logits, label=torch.tensor(1))])
    scores = metric.evaluate(1)
    assert [name for name in scores if name.startswith('top1_t')] == [
        f'top1_t{t}' for t in (1, 2, 4, 8, 16, 32, 64, 100)
    ]
