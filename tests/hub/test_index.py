import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub import index as module
from a2sg_zoo.hub.index import FIELDS, SHIPPED, Entry, check_entry, find, names, read_index, write_index
from tests.hub.tiny import publish


@pytest.fixture
def index(tmp_path, monkeypatch):
    path = publish(tmp_path)[2]
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(path))
    return path


def facts_of(index):
    return json.loads(index.read_text())['models']['tiny']


def test_the_shipped_index_is_sound(monkeypatch):
    monkeypatch.delenv('A2SG_ZOO_INDEX', raising=False)
    assert module.index_path() == SHIPPED
    for entry in read_index().values():
        assert entry.shipped is None or entry.shipped.is_file()


def test_reads_what_was_written(index):
    facts = facts_of(index)
    write_index({'b': facts, 'a-1.x': facts}, index)
    assert {name: entry.facts for name, entry in read_index().items()} == {'a-1.x': facts, 'b': facts}
    assert list(json.loads(index.read_text())['models']) == ['a-1.x', 'b']


@settings(max_examples=30)
@given(
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4),
    text=st.text(min_size=1).filter(str.strip),
)
def test_the_short_form_of_lists_changes_nothing(tmp_path_factory, numbers, text):
    folder = tmp_path_factory.mktemp('index')
    facts = dict(facts_of(publish(folder)[2]), beta={'[layer': numbers}, limits=[text], summary=text)
    write_index({'x': facts}, folder / 'index.json')
    assert read_index(folder / 'index.json')['x'].facts == facts


def test_patterns(index):
    facts = facts_of(index)
    write_index(dict.fromkeys(['spikformer_cifar10', 'spikformer_digits', 'resnet_cifar10'], facts), index)
    assert names() == ['resnet_cifar10', 'spikformer_cifar10', 'spikformer_digits']
    assert names('*CIFAR10*') == ['resnet_cifar10', 'spikformer_cifar10'] and names('spik*_d*') == ['spikformer_digits']
    with pytest.raises(ConfigError, match='no weights named .spikformr_digit.; did you mean spikformer_digits'):
        find('spikformr_digit')
    with pytest.raises(ConfigError, match='known: resnet_cifar10, spikformer_cifar10, spikformer_digits'):
        find('42')


def test_locations():
    def entry(location):
        return Entry('x', dict(location=location), SHIPPED)

    assert entry('weights/a.safetensors').shipped == SHIPPED.parent / 'weights' / 'a.safetensors'
    assert entry('https://h/b/a.safetensors?x=1').shipped is None
    assert {
        entry(location).filename
        for location in (
            'weights/a.safetensors',
            'https://h/b/a.safetensors',
            'hf:me/repo/b/a.safetensors@v1',
            'https://h/records/1/files/a.safetensors?download=1',
            'https://h/@me/a.safetensors',
        )
    } == {'a.safetensors'}


@pytest.mark.parametrize(
    'location',
    ['https://h/records/1/files/a.safetensors?download=1', 'hf:me/repo/a.safetensors@v1.0', 'file:///b/a.safetensors'],
)
def test_addresses_that_are_taken(index, location):
    check_entry('tiny', dict(facts_of(index), location=location), 'index')


@pytest.mark.parametrize(
    'field, value, message',
    [
        ('task', 'detection', "must be one of 'classification', 'segmentation'; got 'detection'"),
        ('summary', ' ', 'must be a text'),
        ('size', 0, 'must be a positive integer'),
        ('size', True, 'must be a positive integer'),
        ('T', 2.5, 'must be a positive integer'),
        ('sha256', 'ab', 'must be 64 hexadecimal digits'),
        ('model', {}, 'must be a dictionary that is not empty'),
        ('model', {'backbone': 1}, "must be a dictionary with the key 'type'"),
        ('recipe', {'command': 'x', 'evaluation': 3}, "a dictionary in which 'evaluation' is a text"),
        ('metrics', {'top1': '93'}, "must be a dictionary in which 'top1' is a number"),
        ('per_class', [{'class': 'a'}], "must be a list in which each is a dictionary with the key 'IoU'"),
        ('beta', {'a': []}, "a dictionary in which 'a' is a list that is not empty"),
        ('location', '../evil.safetensors', 'climbs out'),
        ('location', '/evil.safetensors', 'climbs out'),
        ('location', 'a\\..\\evil.safetensors', 'climbs out'),
        ('location', 'weights.pth', r'of a \.safetensors file'),
        ('location', 'ftp://x/a.safetensors', 'must be a path beside'),
        ('location', 'hf:a.safetensors', 'hf:OWNER'),
        ('location', 'hf:a/b/../../x.safetensors', 'hf:OWNER'),
        ('location', 3, r'of a \.safetensors file'),
        ('location', 'https://h/a.pth?x=.safetensors', r'of a \.safetensors file'),
        ('location', 'https://[h/a.safetensors', r'of a \.safetensors file'),
        ('location', 'a.safetensors?download=1', r'of a \.safetensors file'),
        ('sise', 3, 'unknown field sise; did you mean size'),
        ('xyz', 3, 'unknown field xyz; known: task'),
    ],
)
def test_faults_are_named(index, field, value, message):
    contents = json.loads(index.read_text())
    contents['models']['tiny'][field] = value
    index.write_text(json.dumps(contents))
    with pytest.raises(ConfigError, match=message) as error:
        read_index()
    assert str(index) in str(error.value) and 'tiny' in str(error.value)


@pytest.mark.parametrize('field', [field for field, (_, required, _) in FIELDS.items() if required])
def test_missing_fields_are_named(index, field):
    facts = facts_of(index)
    del facts[field]
    with pytest.raises(ConfigError, match=f'tiny lacks the field {field} '):
        check_entry('tiny', facts, 'index')


@pytest.mark.parametrize('name', ['../up', 'a/b', 'A', '', '.x', 'a..b', 'a b', 'a\\b', 'c:x'])
def test_names_stay_in_the_cache_folder(index, name):
    with pytest.raises(ConfigError, match='cannot be a name'):
        write_index({name: facts_of(index)}, index)


def test_broken_files(index, monkeypatch):
    text = index.read_text()
    for broken, message in (
        (text[:-20], 'index.json'),
        ('[]', 'expected is'),
        ('{"schema": 2, "models": {}}', 'expected is'),
        ('{"schema": 1, "models": {"tiny": 3}}', 'tiny must be a dictionary'),
        ('{"schema": 1, "models": {"a": {}, "a": {}}}', "'a' occurs twice"),
    ):
        index.write_text(broken)
        with pytest.raises(ConfigError, match=message):
            read_index()
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(index) + '.none')
    with pytest.raises(ConfigError, match='No such file.*A2SG_ZOO_INDEX'):
        names()


def test_listing_imports_no_torch():
    code = "import sys, a2sg_zoo; a2sg_zoo.list_models(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0
