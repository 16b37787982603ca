"""The small installation of docs/attach.md: torch, MMEngine, and this package without its other requirements."""

import os
import re
import subprocess
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / 'docs' / 'attach.md').read_text()
CORE = ('torch', 'onedl-mmengine')

pytestmark = pytest.mark.slow

USE = """
import sys
import torch
import a2sg_zoo
from a2sg_zoo import surrogates
from a2sg_zoo.models.backbones import SpikingResNet, VGGSNN
from a2sg_zoo.neurons import IF, LIF, PLIF
from a2sg_zoo.registry import MODELS, NEURONS, POLICIES, SURROGATES

for name in surrogates.__all__:
    assert getattr(surrogates, name)
network = MODELS.build(dict(type='VGGSNN', widths=(4, 8), in_channels=3, T=2))
layers = a2sg_zoo.attach(network, POLICIES.build(dict(type='A2SG')))
with a2sg_zoo.monitor(network) as watch:
    for _ in range(2):
        network(torch.rand(4, 3, 8, 8))[-1].square().mean().backward()
print(watch)
watch.to_json('health.json')
found = a2sg_zoo.probe(network)
print(found)
assert not any(layer.differs for layer in found.values()) and len(watch.records) == 2
found.save('probe.png')
assert all(layer.beta.shape == (2,) for layer in layers.values())
heavy = {'torchvision', 'mmcv', 'mmseg', 'cv2', 'scipy', 'sklearn', 'hyperopt', 'tensorboard', 'safetensors'}
assert not heavy & {*sys.modules}
"""
LACKS = """
import a2sg_zoo
from a2sg_zoo.errors import MissingPackageError
for use in (lambda: a2sg_zoo.get_model('x'), lambda: a2sg_zoo.SegmentationInferencer('x')):
    try:
        use()
    except MissingPackageError as error:
        assert 'pip install' in str(error), error
        continue
    raise AssertionError('nothing was missing')
"""


def requirements(names):
    """The names of packages and of all that they require, as installed here."""
    found, ahead = set(), [*names]
    while ahead:
        name = re.sub('[-_.]+', '-', ahead.pop()).lower()
        if name in found:
            continue
        found.add(name)
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({'extra': ''}):
                try:
                    metadata.version(requirement.name)
                except metadata.PackageNotFoundError:
                    continue  # a library for another kind of processor
                ahead.append(requirement.name)
    return found


def run(*command, **kwargs):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def python(tmp_path_factory):
    """The interpreter of an environment with the core alone."""
    given = os.environ.get('A2SG_ZOO_CORE_PYTHON')
    if given:
        return given
    folder = tmp_path_factory.mktemp('core')
    venv.create(folder / 'venv')
    python = folder / 'venv' / 'bin' / 'python'
    site = Path(run(python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))').strip())
    here = Path(sysconfig.get_path('purelib'))
    for name in requirements(CORE):
        for file in metadata.files(name) or ():
            top = file.parts[0]
            if top not in ('..', '__pycache__') and not (site / top).exists():
                (site / top).symlink_to(here / top)
    (site / 'a2sg_zoo').symlink_to(ROOT / 'a2sg_zoo')
    assert (
        'No module named' in subprocess.run([python, '-c', 'import torchvision'], capture_output=True, text=True).stderr
    )
    return python


@pytest.fixture
def elsewhere(tmp_path):
    env = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    return dict(cwd=tmp_path, env={**env, 'OMP_NUM_THREADS': '1'})


def test_the_page_says_what_is_installed_here():
    assert f'pip install {" ".join(CORE)}' in PAGE and 'pip install --no-deps' in PAGE


def test_networks_policies_probe_and_monitor(python, elsewhere):
    said = run(python, '-W', 'error', '-c', USE, **elsewhere)
    assert '| layer | SGV |' in said and 'ASY' in said
    assert {'health.json', 'probe.png'} <= {path.name for path in elsewhere['cwd'].iterdir()}


def test_the_example_of_plain_pytorch(python, elsewhere):
    (example,) = (code for code in re.findall(r'```python\n(.*?)```', PAGE, re.S) if 'class MyNeuron' in code)
    assert run(python, '-c', example, **elsewhere).startswith('tensor(')


def test_what_is_missing_is_said_in_words(python, elsewhere):
    run(python, '-c', LACKS, **elsewhere)
    done = subprocess.run(
        [python, '-m', 'a2sg_zoo.cli.predict', 'x', 'y.png'], capture_output=True, text=True, **elsewhere
    )
    assert done.returncode == 2 and 'pip install' in done.stderr and 'Traceback' not in done.stderr, done.stderr
