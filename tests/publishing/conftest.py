"""Finished runs, and a zoo of its own to publish them in."""

import importlib.util
import json
from pathlib import Path

import pytest

from a2sg_zoo.datasets import write_scenes
from a2sg_zoo.hub.index import write_index
from tests.cli import test_classification as classification
from tests.cli import test_train_and_test as segmentation
from tests.publishing.run_notes import note

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('publish_tool', ROOT / 'a2sg_zoo' / 'cli' / 'publish.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
    """A finished run on scikit-learn's digits."""
    folder = tmp_path_factory.mktemp('digits')
    done = classification.run(
        'train',
        classification.CONFIG,
        '--demo',
        '--seed',
        3,
        '--work-dir',
        folder,
        '--cfg-options',
        *classification.SMALL,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    note(folder, commit='0' * 40)
    return folder


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """A finished run on drawn scenes, and their folder."""
    root = write_scenes(tmp_path_factory.mktemp('scenes') / 'ADEChallengeData2016', train=6, val=3, size=64)
    folder = tmp_path_factory.mktemp('run')
    done = segmentation.run(
        'train',
        segmentation.CONFIG,
        '--demo',
        '--work-dir',
        folder,
        '--cfg-options',
        *segmentation.SMALL,
        *segmentation.data_options(root),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    note(folder, commit='0' * 40)
    return folder, Path(root)


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Folder of an empty index."""
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(tmp_path / 'index.json'))
    monkeypatch.chdir(ROOT)
    write_index({}, tmp_path / 'index.json')
    return tmp_path


@pytest.fixture
def published(digits, zoo, tool, capsys):
    (zoo / 'facts.json').write_text(json.dumps(dict(limits=['Too short.'], flatness=dict(sharpness=3.5))))
    tool.main(
        [
            str(digits),
            '--name',
            'small_digits',
            '--summary',
            'Small.',
            '--facts',
            str(zoo / 'facts.json'),
            '--cards',
            str(zoo / 'cards'),
        ]
    )
    (file,) = (zoo / 'weights').iterdir()
    assert str(file) in capsys.readouterr().out and file.name.startswith('small_digits-')
    return zoo
