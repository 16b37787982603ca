"""The classifier in the modes of MMEngine's loops, and its head."""

from types import SimpleNamespace

import pytest
import torch

from a2sg_zoo.engine.hooks import StopMixing
from a2sg_zoo.engine.metrics.classification import Accuracy
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.classifiers import LinearHead, SpikingClassifier

BACKBONE = dict(type='Spikformer', form='cifar', embed_dims=32, depth=1, num_heads=4, T=3, time='keep')


def classifier(backbone={}, head={}, **kwargs):
    return SpikingClassifier(
        {**BACKBONE, **backbone},
        dict(type='LinearHead', in_channels=32, num_classes=5, **head),
        dict(type='ImgDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3),
        **kwargs,
    )


def batch(size=4):
    return dict(inputs=torch.randint(256, (size, 3, 16, 16), dtype=torch.uint8), data_samples=torch.arange(size) % 5)


@pytest.mark.parametrize('head', [dict(), dict(spiking=True), dict(hidden=8), dict(spiking=True, hidden=8)])
@pytest.mark.parametrize('loss', ['MeanCrossEntropy', 'TET'])
def test_trains(head, loss):
    model = classifier(head=dict(loss=dict(type=loss), **head))
    data = model.data_preprocessor(batch(), training=True)
    assert data['inputs'].dtype == torch.float32 and data['inputs'].abs().max() <= 1
    losses = model(**data, mode='loss')
    losses['loss'].backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_modes():
    model = classifier().eval()
    data = model.data_preprocessor(batch())
    logits = model(**data)
    assert logits.shape == (3, 4, 5)
    predictions = model(**data, mode='predict')
    torch.testing.assert_close(torch.stack([p['logits'] for p in predictions], 1), logits)
    assert [int(p['label']) for p in predictions] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="mode.*'train'"):
        model(**data, mode='train')


def test_predicts_with_fewer_time_steps():
    """A causal network: its first two steps do not know of the third."""
    model, short = classifier().eval(), classifier(test_cfg=dict(T=2)).eval()
    short.load_state_dict(model.state_dict())
    data = model.data_preprocessor(batch())
    for full, part in zip(model(**data, mode='predict'), short(**data, mode='predict')):
        torch.testing.assert_close(part['logits'], full['logits'][:2])
    assert short.backbone.T == 3


def test_predicts_by_the_mean_over_mirror_images():
    model, both = classifier().eval(), classifier(test_cfg=dict(flip=True)).eval()
    torch.manual_seed(0)
    for x in model.parameters():  # neurons of all layers fire
        torch.nn.init.normal_(x, 0.5 * (x.dim() == 1), 0.3)
    both.load_state_dict(model.state_dict())
    data = model.data_preprocessor(batch())
    logits, mirrored = model(data['inputs']), model(data['inputs'].flip(-1))
    assert not torch.allclose(logits, mirrored)
    for i, prediction in enumerate(both(**data, mode='predict')):
        torch.testing.assert_close(prediction['logits'], (logits[:, i] + mirrored[:, i]) / 2)


@pytest.mark.parametrize('kind', ['MixUp', 'CutMix'])
def test_mixing_mixes_images_and_targets_alike(kind):
    model = classifier(mixing=[dict(type=f'torchvision/{kind}', alpha=0.5)])
    seen = {}
    model.head.loss.register_forward_pre_hook(lambda module, args: seen.update(target=args[1]))
    model.backbone.register_forward_pre_hook(lambda module, args: seen.update(inputs=args[0]))
    data = model.data_preprocessor(batch())
    torch.manual_seed(3)
    model(**data, mode='loss')
    share = seen['target'][0, 0]  # image 0, of class 0, is mixed with image 3, of class 3
    assert 0 < share < 1
    torch.testing.assert_close(seen['target'].sum(1), torch.ones(4))
    own, other = data['inputs'][0], data['inputs'][3]
    if kind == 'MixUp':
        torch.testing.assert_close(seen['inputs'][0], share * own + (1 - share) * other)
    else:
        kept = (seen['inputs'][0] == own).all(0)
        assert seen['inputs'][0][:, ~kept].equal(other[:, ~kept])
        torch.testing.assert_close(kept.float().mean(), share)


def test_one_of_several_is_drawn_for_a_batch_and_it_ends():
    model = classifier(mixing=[dict(type='torchvision/MixUp', alpha=0.5), dict(type='torchvision/CutMix')])
    targets = []
    model.head.loss.register_forward_pre_hook(lambda module, args: targets.append(args[1]))
    data = model.data_preprocessor(batch())
    torch.manual_seed(0)
    hook = StopMixing(at=6)
    for i in range(7):
        hook.before_train_iter(SimpleNamespace(iter=i, model=model), i)
        model(**data, mode='loss')
    assert all(target.dim() == 2 for target in targets[:6]) and targets[6].equal(data['data_samples'])


@pytest.mark.parametrize('key', ['grid', 'hidden'])
def test_a_head_without_features_is_refused(key):
    with pytest.raises(ConfigError, match=rf'{key}\b.*0'):
        LinearHead(in_channels=2, num_classes=3, **{key: 0})


def test_head_by_hand():
    head = LinearHead(in_channels=2, num_classes=3)
    x = torch.rand(2, 4, 2, 3, 5)
    linear = head.layers[0]
    torch.testing.assert_close(head(x), x.mean((3, 4)) @ linear.weight.T + linear.bias)


@pytest.mark.parametrize(
    'make, key',
    [
        (lambda: classifier(backbone=dict(time='mean')), 'model.backbone.time'),
        (lambda: classifier(test_cfg=dict(t=2)), r'test_cfg.*\bt\b.*\bT\b'),
        (lambda: classifier(test_cfg=dict(flip='left')), r'test_cfg.flip\b.*left'),
        (lambda: classifier(test_cfg=dict(T=0)), r'test_cfg.T\b.*\b0'),
        (lambda: classifier(mixing=[dict(type='torchvision/MixUp', alpha=0.0)]), 'mixing.*alpha'),
        (lambda: classifier(mixing=[dict(type='torchvision/MixUpp')]), 'mixing.*MixUpp'),
    ],
)
def test_mistakes(make, key):
    with pytest.raises(ConfigError, match=key):
        make()


def test_accuracy():
    # class 0 leads at first, then class 1 overtakes it, and 2..6 trail
    early = torch.tensor([[3.0, 1, 0, 0, 0, 0, -1], [0.0, 4, 0, 0, 0, 0, -1]])
    samples = [dict(logits=early, label=torch.tensor(label)) for label in (0, 1, 1, 6)]
    metric = Accuracy()
    metric.process(None, samples[:3])
    metric.process(None, samples[3:])
    assert metric.evaluate(4) == dict(top1=50.0, top5=75.0, top1_t1=25.0, top1_t2=50.0)


def test_accuracy_of_few_classes():
    metric = Accuracy()
    metric.process(None, [dict(logits=torch.tensor([[0.0, 1.0]]), label=torch.tensor(0))])
    assert metric.evaluate(1) == dict(top1=0.0, top5=100.0, top1_t1=0.0)
