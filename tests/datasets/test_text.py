"""Text as bytes: which part is trained on, what is predicted, and files that are no text."""

import pydoc_data.topics
import random
import sys
from collections import Counter

import pytest
import torch
from mmengine.dataset import default_collate
from torch.utils.data import DataLoader

from a2sg_zoo.datasets import SeededIndex, Text
from a2sg_zoo.datasets.text import decoded, embedded_text, encoded
from a2sg_zoo.engine.samplers import ResumableSampler
from a2sg_zoo.errors import ConfigError, DataError


@pytest.fixture
def book(tmp_path):
    """A text of 1,000 characters, some of them of more than one byte."""
    draw = random.Random(0)
    path = tmp_path / 'book.txt'
    path.write_text(''.join(draw.choice('abc deé€\n') for _ in range(1000)), encoding='utf-8')
    return path


def test_embedded_text_is_the_documentation_without_repetitions():
    text = embedded_text()
    paragraphs = text.split('\n\n')
    assert max(Counter(paragraphs).values()) == 1
    sources = '\n\n'.join(pydoc_data.topics.topics.values())
    assert all(paragraph in sources for paragraph in paragraphs) and 'import' in text
    assert not [topic for topic in pydoc_data.topics.topics.values() if topic.strip().split('\n\n')[1] not in text]


def test_the_parts_are_the_text(book):
    train, val = Text(book, validation=0.2), Text(book, train=False, validation=0.2)
    assert decoded(train.symbols.tolist()) + decoded(val.symbols.tolist()) == book.read_text(encoding='utf-8')
    # no character is cut apart
    assert val.symbols[0] & 0xC0 != 0x80 and 0.15 < len(val.symbols) / (len(train.symbols) + len(val.symbols)) < 0.25
    for data in (train, val):
        source = data.metainfo['source']
        assert source['text'] == 'book.txt' and source['characters'] == 1000
        assert source['bytes'] == book.stat().st_size and len(data.metainfo['classes']) == 256


def test_the_source_of_the_embedded_text_names_its_version():
    source = Text(train=False).metainfo['source']
    assert source['python'] == sys.version.split()[0] and len(source['sha256']) == 64


@pytest.mark.parametrize('length', [2, 7, 64, 150])
@pytest.mark.parametrize('context', [0, 1, None])
def test_every_byte_is_predicted_once_with_the_context(book, length, context):
    data = Text(book, train=False, length=length, context=context, validation=0.2)
    whole, counted = data.symbols, []
    for i in range(len(data)):
        item = data[i]
        inputs, targets = item['inputs'], item['data_samples']
        assert inputs.shape == targets.shape == (length,)
        start = next(s for s in range(len(whole)) if whole[s : s + length].equal(inputs)) if length > 8 else None
        predicted = (targets >= 0).nonzero().flatten()
        assert predicted.numel() and (i == 0 or int(predicted[0]) >= data.context)
        if start is not None:
            counted += (predicted + start + 1).tolist()
            assert whole[predicted + start + 1].equal(targets[predicted])
        else:
            counted += targets[predicted].tolist()
    assert counted == (list(range(1, len(whole))) if length > 8 else whole[1:].tolist())


def test_a_training_item_is_a_function_of_its_position_and_seed(book):
    data = Text(book, length=32)
    first, again, other = data[SeededIndex(3, 5)], data[SeededIndex(3, 5)], data[SeededIndex(3, 6)]
    assert first['inputs'].equal(again['inputs']) and not first['inputs'].equal(other['inputs'])
    assert first['inputs'][1:].equal(first['data_samples'][:-1])
    torch.manual_seed(0)
    a = data[3]['inputs']
    torch.manual_seed(0)
    assert data[3]['inputs'].equal(a)
    starts = set()
    for seed in range(400):  # every place of the window, and no other
        item = data[SeededIndex(3, seed)]['inputs']
        starts |= {s for s in range(len(data.symbols) - 32) if data.symbols[s : s + 32].equal(item)}
    assert min(starts) == 3 * 32 and max(starts) == 4 * 32 - 1
    for seed in range(50):  # the last window ends with the text
        assert len(data[SeededIndex(len(data) - 1, seed)]['data_samples']) == 32
    with pytest.raises(IndexError):
        data[len(data)]


@pytest.mark.parametrize('workers', [0, 2])
def test_a_run_resumes_with_the_same_batches(book, workers):
    data = Text(book, length=32)

    def batches(skip, number):
        sampler = ResumableSampler(data, seed=7)
        sampler.skip(skip * 4)
        loader = DataLoader(data, 4, sampler=sampler, num_workers=workers, collate_fn=default_collate)
        return [batch['inputs'] for batch, _ in zip(loader, range(number))]

    assert torch.stack(batches(0, 20)[12:]).equal(torch.stack(batches(12, 8)))


@pytest.mark.parametrize(
    'arguments, key',
    [
        (dict(length=1), 'length'),
        (dict(length=0), 'length'),
        (dict(length='long'), 'length'),
        (dict(length=8, context=8), 'context'),
        (dict(context=-1), 'context'),
        (dict(validation=0), 'validation'),
        (dict(validation=1), 'validation'),
        (dict(validation='half'), 'validation'),
    ],
)
def test_wrong_arguments(arguments, key):
    with pytest.raises(ConfigError, match=key):
        Text(**arguments)


def test_files_that_are_no_text(tmp_path, book):
    latin = tmp_path / 'latin1.txt'
    latin.write_bytes('déjà vu '.encode('latin1') * 100)
    short = tmp_path / 'short.txt'
    short.write_text('too short')
    empty = tmp_path / 'empty.txt'
    empty.write_text('')
    for path in (latin, short, empty, tmp_path / 'none.txt', tmp_path):
        with pytest.raises(DataError, match=path.name):
            Text(path)
    with pytest.raises(DataError, match='length'):
        Text(book, train=False, length=250)  # the validation part is shorter than a sequence
    assert len(Text(book, train=False, length=16)) > 1


def test_symbols_are_bytes():
    assert encoded('a€').tolist() == [97, 226, 130, 172] and decoded(encoded('a€\n').tolist()) == 'a€\n'
    assert decoded([226, 130]) == '\ufffd'
