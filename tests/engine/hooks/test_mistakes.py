"""The worst mistakes of a classification."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from a2sg_zoo.engine.hooks import ClassificationPictures
from a2sg_zoo.engine.metrics import Accuracy
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.visualization import confusion_picture, input_picture, mistakes_sheet

NAMES = ['ant', 'bee', 'cat']


def evaluate(folder, logits, labels, limit=3, metric=None, batch=4):
    """Runs the hook over batches; returns it with the mistakes that it drew."""
    hook = ClassificationPictures(folder, limit)
    metric = Accuracy() if metric is None else metric
    dataset = SimpleNamespace(metainfo=dict(classes=NAMES))
    runner = SimpleNamespace(
        test_dataloader=SimpleNamespace(dataset=dataset),
        test_evaluator=SimpleNamespace(metrics=[metric]),
        logger=SimpleNamespace(info=lambda text: None),
    )
    hook.before_test(runner)
    for first in range(0, len(labels), batch):
        part = slice(first, first + batch)
        outputs = [dict(logits=z, label=label) for z, label in zip(logits[part], labels[part])]
        images = torch.arange(first, first + len(outputs), dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)
        hook.after_test_iter(runner, 0, dict(inputs=list(images)), outputs)
        if isinstance(metric, Accuracy):
            metric.process(None, outputs)
    worst = sorted(hook._worst, key=lambda mistake: -mistake[0])
    if isinstance(metric, Accuracy):
        metric.evaluate(len(labels))
    hook.after_test_epoch(runner)
    return worst


def test_keeps_the_mistakes_that_are_worst(tmp_path):
    torch.manual_seed(0)
    logits, labels = torch.randn(50, 2, 3), torch.randint(3, (50,))
    worst = evaluate(tmp_path, logits, labels)
    p = logits.mean(1).softmax(1)
    excess = p.max(1).values - p[range(50), labels]
    expected = excess.topk(3)
    assert [found['position'] for _, _, found in worst] == expected.indices.tolist()
    for (value, _, found), position in zip(worst, expected.indices.tolist()):
        assert value == pytest.approx(float(excess[position]))
        assert (found['truth'], found['chosen']) == (int(labels[position]), int(p[position].argmax()))
        assert (found['image'] == position).all()  # the picture of this sample
    assert {path.name for path in tmp_path.iterdir()} == {'mistakes.png', 'confusion.png'}


def test_without_a_mistake_only_the_matrix_is_drawn(tmp_path):
    labels = torch.tensor([0, 1, 2, 1])
    assert evaluate(tmp_path, 9 * torch.eye(3)[labels][:, None], labels) == []
    assert {path.name for path in tmp_path.iterdir()} == {'confusion.png'}


def test_refuses_files_of_others_before_the_evaluation(tmp_path):
    Image.new('RGB', (2, 2)).save(tmp_path / 'mistakes.png')
    with pytest.raises(ConfigError, match='mistakes.png'):
        ClassificationPictures(tmp_path).before_test(None)


def test_needs_the_matrix_of_accuracy(tmp_path):
    with pytest.raises(ConfigError, match='test_evaluator'):
        evaluate(tmp_path, torch.randn(4, 1, 3), torch.zeros(4, dtype=torch.long), metric=object())


def test_inputs_as_pictures():
    grey = input_picture(torch.full((1, 4, 6), 200, dtype=torch.uint8))
    assert grey.shape == (4, 6, 3) and (grey == 200).all()
    frames = torch.zeros(5, 2, 4, 6)
    frames[2, 0, 1, 2], frames[3, 1, 3, 4] = 3, 3  # an OFF and an ON event
    picture = input_picture(frames).astype(int)
    assert (picture[0, 0] == 255).all()
    assert picture[1, 2].argmax() == 2 and picture[3, 4].argmax() == 0  # blue and red
    assert (input_picture(torch.full((5, 3, 4, 6), 80.0)) == 80).all()
    assert input_picture(torch.rand(5, 4, 4, 6)).shape == (4, 6, 3)
    sequence = torch.zeros(7, 3)
    sequence[6, 1] = 1
    picture = input_picture(sequence)
    assert picture.shape == (3, 7, 3) and (np.argwhere(picture[..., 0] == 0) == [[1, 6]]).all()


@pytest.mark.parametrize('classes', [2, 30, 100])
def test_matrices_of_any_size(classes):
    counts = torch.randint(9, (classes, classes))
    counts[0] = 0  # a class without samples
    picture = confusion_picture(counts, [f'class {i}' for i in range(classes)])
    assert min(picture.size) > 300 and max(picture.size) < 2000


def test_sheet_of_one_mistake():
    mistake = dict(image=torch.zeros(3, 8, 8), truth=0, chosen=1, p=0.9, position=5)
    assert mistakes_sheet([mistake], NAMES).size[0] < 200
