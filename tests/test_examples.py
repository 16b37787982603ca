"""The examples and the entries of `torch.hub`, as a user calls them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import a2sg_zoo

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / 'examples' / 'train_minimal.py'
# the names of packages that start a training loop of their own
RUNNERS = ('mmengine', 'a2sg_zoo.engine', 'lightning')


def run(*command, cwd, **environment):
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        text=True,
        capture_output=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', **environment},
    )


def test_minimal_example(tmp_path):
    done = run(EXAMPLE, '2', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    accuracies = [float(x) for x in re.findall(r'test accuracy ([\d.]+) %', done.stdout)]
    assert len(accuracies) == 2 and accuracies[-1] > 90
    widths = [float(x) for row in re.findall(r'\[(.*)\]', done.stdout) for x in row.split(', ')]
    assert len(widths) == 8 and len(set(widths)) > 1  # two layers, four time steps; the search moved them
    assert not any(tmp_path.iterdir())


def test_minimal_example_is_minimal():
    text = EXAMPLE.read_text()
    assert len(text.splitlines()) <= 60
    assert not any(re.search(rf'^(from|import) {re.escape(name)}\b', text, re.M) for name in RUNNERS)


@pytest.fixture
def downloaded(tmp_path):
    """Arguments of torch.hub for a checkout that it has downloaded from a code host before."""
    before = torch.hub.get_dir()
    (tmp_path / 'someone_a2sg_zoo_main').symlink_to(ROOT)
    torch.hub.set_dir(tmp_path)
    yield dict(github='someone/a2sg_zoo:main', trust_repo=True, skip_validation=True)
    torch.hub.set_dir(before)


def test_torch_hub_from_a_checkout():
    model = torch.hub.load(str(ROOT), 'resnet_small_digits_tri', source='local', num_classes=5, T=2)
    assert model(torch.zeros(1, 3, 8, 8)).shape == (2, 1, 5)
    fresh = torch.hub.load(str(ROOT), 'create_model', 'resnet_small_digits', source='local', num_classes=3)
    assert fresh.training and fresh.head.num_classes == 3


def test_torch_hub_from_a_code_host(downloaded):
    assert set(torch.hub.list(**downloaded)) == {*a2sg_zoo.list_models(), 'create_model', 'get_model'}
    assert 'digits' in torch.hub.help(model='resnet_small_digits_tri', **downloaded)
    downloaded['repo_or_dir'] = downloaded.pop('github')
    assert torch.hub.load(model='resnet_small_digits_tri', **downloaded).classes == list(map(str, range(10)))
