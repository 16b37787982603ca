"""The index of pretrained weights: what it takes, and how faults in it are named."""

import json
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2sg_zoo.errors import ConfigError, printable
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


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """(facts of an entry, a folder)"""
    folder = tmp_path_factory.mktemp('index')
    return facts_of(publish(folder)[2]), folder


@settings(max_examples=100, deadline=None)
@given(
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4),
    text=st.text(min_size=1).filter(lambda text: text.strip() and printable(text) == text),
)
def test_the_short_form_of_lists_changes_nothing(made, numbers, text):
    facts, folder = made
    facts = dict(facts, beta={'[layer': numbers}, limits=[text], summary=text)
    write_index({'x': facts}, folder / 'index.json')
    assert read_index(folder / 'index.json')['x'].facts == facts


def test_patterns(index):
    facts = facts_of(index)
    write_index(dict.fromkeys(['spikformer_cifar10', 'spikformer_digits', 'resnet_cifar10'], facts), index)
    assert names() == ['resnet_cifar10', 'spikformer_cifar10', 'spikformer_digits']
    assert names('*CIFAR10*') == ['resnet_cifar10', 'spikformer_cifar10'] and names('spik*_d*') == ['spikformer_digits']
    with pytest.raises(ConfigError, match='spikformr_digit.*spikformer_digits'):
        find('spikformr_digit')
    with pytest.raises(ConfigError, match='42.*resnet_cifar10, spikformer_cifar10, spikformer_digits'):
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
    'field, value, key',
    [
        ('task', 'pose', "'classification', 'segmentation'"),
        ('summary', ' ', ''),
        ('summary', 'Good \x1b[2J weights.', ''),
        ('limits', ['One seed.', 'Only \u202ered pixels.'], ''),
        ('size', 0, ''),
        ('size', True, ''),
        ('T', 2.5, ''),
        ('sha256', 'ab', ''),
        ('model', {}, ''),
        ('model', {'backbone': 1}, "'type'"),
        ('recipe', {'command': 'x', 'evaluation': 3}, "'evaluation'"),
        ('metrics', {'top1': '93'}, "'top1'"),
        ('metrics', {'top1': float('nan')}, "'top1'"),
        ('flatness', {'sharpness': float('inf')}, "'sharpness'"),
        ('per_class', [{'class': 'a'}], "'IoU'"),
        ('beta', {'a': []}, "'a'"),
        ('beta', {'a': [float('nan')]}, "'a'"),
        ('location', '../evil.safetensors', ''),
        ('location', '/evil.safetensors', ''),
        ('location', 'a\\..\\evil.safetensors', ''),
        ('location', 'weights.pth', r'\.safetensors'),
        ('location', 'ftp://x/a.safetensors', ''),
        ('location', 'hf:a.safetensors', 'hf:OWNER'),
        ('location', 'hf:a/b/../../x.safetensors', 'hf:OWNER'),
        ('location', 3, ''),
        ('location', 'https://h/a.pth?x=.safetensors', ''),
        ('location', 'https://[h/a.safetensors', ''),
        ('location', 'a.safetensors?download=1', ''),
        ('sise', 3, 'size'),
        ('xyz', 3, 'task'),
    ],
)
def test_faults_are_named(index, field, value, key):
    contents = json.loads(index.read_text())
    contents['models']['tiny'][field] = value
    index.write_text(json.dumps(contents))
    with pytest.raises(ConfigError, match=f'{index}.*tiny.*{field}.*{key}'):
        read_index()


@pytest.mark.parametrize('field', [field for field, (_, required, _) in FIELDS.items() if required])
def test_missing_fields_are_named(index, field):
    facts = facts_of(index)
    del facts[field]
    with pytest.raises(ConfigError, match=f'tiny.*{field}'):
        check_entry('tiny', facts, 'index')


@pytest.mark.parametrize('name', ['../up', 'a/b', 'A', '', '.x', 'a..b', 'a b', 'a\\b', 'c:x'])
def test_names_stay_in_the_cache_folder(index, name):
    with pytest.raises(ConfigError, match=re.escape(repr(name))):
        write_index({name: facts_of(index)}, index)


def test_broken_files(index, monkeypatch):
    text = index.read_text()
    for broken, key in (
        (text[:-20], ''),
        ('[]', '"schema"'),
        ('[' * 100_000, ''),
        ('{"schema": 2, "models": {}}', '"schema": 1'),
        ('{"schema": 1, "models": {"tiny": 3}}', 'tiny'),
        ('{"schema": 1, "models": {"a": {}, "a": {}}}', "'a'"),
    ):
        index.write_text(broken)
        with pytest.raises(ConfigError, match=f'index.json.*{key}'):
            read_index()
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(index) + '.none')
    with pytest.raises(ConfigError, match='index.json.none.*A2SG_ZOO_INDEX'):
        names()


def test_listing_imports_no_torch():
    code = "import sys, a2sg_zoo; a2sg_zoo.list_models(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0
