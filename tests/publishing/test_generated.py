"""The files of publications after kills, and what is removed of them."""

import hashlib
import multiprocessing
import os

import pytest

import a2sg_zoo
from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub import files
from a2sg_zoo.hub.index import Entry, read_index, write_index
from a2sg_zoo.publishing import publish
from a2sg_zoo.publishing.generated import check, update
from tests.hub import tiny

STEPS = ['weights', 'log', 'index', 'card', 'picture', None]


class Zoo:
    """An index of its own to which versions of a network named `tiny` are published."""

    def __init__(self, folder):
        self.folder, self.cards, self.index = folder, folder / 'cards', folder / 'index.json'
        model = tiny.publish(folder)[0]
        self.parameters = sum(x.numel() for x in model.parameters())
        (folder / 'tiny.safetensors').rename(folder / 'made')
        write_index({}, self.index)

    def publish(self, version, **kwargs):
        """Publishes weights that differ between versions, in the metadata of the file."""
        data = (self.folder / 'made').read_bytes().replace(b'cat\\"', b'%03d\\"' % version)
        sha256 = hashlib.sha256(data).hexdigest()
        name = f'tiny-{sha256[:8]}.safetensors'
        facts = tiny.facts(self.folder / 'made', f'weights/{name}', beta={'layer': [0.5, version]})
        facts |= dict(sha256=sha256, summary=f'Version {version}.', parameters=self.parameters)
        target = self.folder / 'weights' / name
        publish.write(Entry('tiny', facts, self.index), data, target, b'{}\n', self.cards, **kwargs)

    def problems(self):
        return check(read_index(), self.cards)

    def version(self):
        entry = read_index()['tiny']
        assert a2sg_zoo.get_model('tiny').classes[2] == f'{int(entry["summary"][8:-1]):03}'
        return entry['summary']


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(tmp_path / 'index.json'))
    zoo = Zoo(tmp_path)
    zoo.publish(1)
    assert zoo.problems() == [] and zoo.version() == 'Version 1.'
    return zoo


def killed_at(zoo, step, version):
    """Publishes in a process that is killed before it renames the file of a step."""

    def child():
        renamed, replace = [0], os.replace

        def killed(source, target):
            renamed[0] += 1
            if renamed[0] == STEPS.index(step) + 1:
                os._exit(9)
            replace(source, target)

        files.os.replace = killed
        zoo.publish(version, replace=True)

    process = multiprocessing.get_context('fork').Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == (9 if step else 0)


@pytest.mark.parametrize('step', STEPS)
def test_a_kill_leaves_the_old_weights_or_the_new(zoo, step):
    killed_at(zoo, step, 2)
    written = step in ('card', 'picture', None)
    assert zoo.version() == ('Version 2.' if written else 'Version 1.')
    # after the index was written, a card that is missing or old is named and can be made again; all else is in order
    named = dict(card=2, picture=1).get(step, 0)
    assert len(zoo.problems()) == named and all('tiny.' in problem for problem in zoo.problems())
    update(read_index(), zoo.cards, None)
    assert zoo.problems() == []


@pytest.mark.parametrize('steps', [STEPS, STEPS[::-1], ['weights'] * 3, ['index', 'card'] * 2], ids=str)
def test_many_kills_leave_nothing_behind(zoo, steps):
    for version, step in enumerate(steps, 2):
        killed_at(zoo, step, version)
        assert zoo.version()
    zoo.publish(99, replace=True)
    assert zoo.problems() == [] and zoo.version() == 'Version 99.'
    (weights,) = (zoo.folder / 'weights').iterdir()
    assert sorted(path.name for path in zoo.cards.iterdir()) == [f'{weights.stem}.log.jsonl', 'tiny.md', 'tiny.svg']
    assert not list(zoo.folder.rglob('*.writing'))


def test_what_other_people_put_there_stays(zoo):
    weights = zoo.folder / 'weights'
    kept = [weights / 'mine-01234567.safetensors', zoo.cards / 'mine-01234567.log.jsonl', zoo.cards / 'notes.md']
    kept += [weights / 'tiny.safetensors', weights / 'tiny-01234567.onnx', weights / 'tiny-v2.safetensors']
    for path in kept:
        path.write_text('mine')
    zoo.publish(2, replace=True)
    assert all(path.read_text() == 'mine' for path in kept)
    assert any('notes.md' in problem for problem in zoo.problems())


@pytest.mark.parametrize('step', STEPS[:-1])
def test_a_full_disk_leaves_the_old_weights_or_the_new(zoo, step, monkeypatch):
    written, fsync = [0], os.fsync

    def full(file):
        if not os.path.isdir(f'/proc/self/fd/{file}'):
            written[0] += 1
            if written[0] == STEPS.index(step) + 1:
                raise OSError(28, 'No space left on device')
        fsync(file)

    monkeypatch.setattr(files.os, 'fsync', full)
    with pytest.raises(CheckpointError, match=str(zoo.folder)):
        zoo.publish(2, replace=True)
    assert zoo.version() == ('Version 2.' if step in ('card', 'picture') else 'Version 1.')


def test_a_name_is_taken(zoo):
    with pytest.raises(ConfigError, match='tiny'):
        zoo.publish(2)
    assert zoo.version() == 'Version 1.'


def test_temporary_files_are_no_problem(zoo):
    for folder in (zoo.cards, zoo.folder / 'weights'):
        (folder / '.tiny.md.123.writing').write_text('cut sh')
    assert zoo.problems() == []
