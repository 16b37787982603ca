"""The scores of the training images, against a network that is scored by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from a2sg_zoo.engine.hooks import TrainingScores
from a2sg_zoo.engine.run import prepare_config, train
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.utils.models import unwrap_model

OPTIONS = {
    'model.backbone.depths': (1,),
    'model.backbone.widths': (8,),
    'model.backbone.stem': 8,
    'model.head.in_channels': 8,
    'train_cfg.max_iters': 6,
    'train_cfg.val_interval': 3,
    'train_dataloader.dataset.per_class': (0, 6),
    'val_dataloader.dataset.per_class': (0, 4),
}


def run(folder, *hooks):
    cfg = prepare_config('resnet_small_digits', dict(OPTIONS), work_dir=folder, methods=['tri'])
    cfg.custom_hooks = list(hooks)
    return train(cfg)


def test_scores_are_those_of_the_plain_images_in_evaluation_mode(tmp_path):
    runner = run(tmp_path, dict(type='TrainingScores', images=50, batch_size=17))
    history = runner.message_hub
    model = unwrap_model(runner.model).eval()
    data = runner.train_dataloader.dataset
    assert len(data) == 60 and data.pipeline
    chosen = torch.linspace(0, 59, 50).long()
    images = (data.images[chosen].float() - 78) / 96
    labels = torch.tensor(data.labels)[chosen]
    with torch.no_grad():
        logits = model(images)
        loss = F.cross_entropy(logits.mean(0), labels)
    scores = {name: history.get_scalar(f'val/{name}') for name in ('top1', 'train_top1', 'train_loss', 'val_loss')}
    assert [len(score.data[0]) for score in scores.values()] == [2] * 4
    right = 100 * (logits.mean(0).argmax(1) == labels).double().mean()
    assert scores['train_top1'].current() == pytest.approx(float(right))
    assert scores['train_loss'].current() == pytest.approx(float(loss), rel=1e-4)
    assert math.isfinite(scores['val_loss'].current())
    assert unwrap_model(runner.model).training is False


def test_a_training_is_the_same_with_and_without_them(tmp_path):
    with_scores = run(tmp_path / 'a', dict(type='TrainingScores', images=20)).model.state_dict()
    without = run(tmp_path / 'b').model.state_dict()
    assert all(with_scores[name].equal(value) for name, value in without.items())


@pytest.mark.parametrize('wrong', ['model', 'data'])
def test_what_cannot_be_scored_is_refused_before_the_first_batch(tmp_path, wrong):
    images = SimpleNamespace(dataset=SimpleNamespace(images=torch.zeros(2, 3, 8, 8), labels=[0, 1]))
    others = SimpleNamespace(dataset=[1, 2])
    model = torch.nn.Linear(2, 2)
    if wrong == 'data':
        model.head = SimpleNamespace(loss=F.cross_entropy)
    runner = SimpleNamespace(model=model, train_dataloader=images, val_dataloader=others)
    named = 'TrainingScores' if wrong == 'model' else 'val_dataloader'
    with pytest.raises(ConfigError, match=named):
        TrainingScores().before_train(runner)
