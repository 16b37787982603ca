"""A missing package is named, with the command that installs it, wherever a part of this project needs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from a2sg_zoo.errors import A2SGError, MissingPackageError
from a2sg_zoo.utils import packages

ROOT = Path(__file__).resolve().parents[2]
# what `pip install torch onedl-mmengine` leaves out
WITHOUT = (
    'torchvision mmcv mmseg cv2 hyperopt optuna tensorboard safetensors pooch requests sklearn scipy tqdm urllib3 '
    'spikingjelly snntorch norse braincog einops huggingface_hub onnx nir gradio'
).split()
HIDDEN = f"""
from importlib.machinery import PathFinder
real = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition('.')[0] in {WITHOUT!r} else real(name, *rest)
"""


def run(code, hidden=HIDDEN):
    done = subprocess.run([sys.executable, '-c', hidden + code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_require(monkeypatch):
    real = packages.find_spec
    monkeypatch.setattr(packages, 'find_spec', lambda name: None if name == 'cv2' else real(name))
    packages.require('a test', 'json', 'torch')
    with pytest.raises(MissingPackageError, match='pip install opencv-python no_such_package') as error:
        packages.require('a test', 'json', 'cv2', 'no_such_package')
    assert isinstance(error.value, A2SGError) and isinstance(error.value, ImportError) and error.value.name == 'cv2'


@pytest.mark.parametrize(
    'modules, requirement',
    [
        (['torch'], 'a2sg-zoo'),
        (['onnx', 'torch'], 'a2sg-zoo[export]'),
        (['tonic', 'huggingface_hub'], 'a2sg-zoo[events,hub]'),
        (['no_such_package'], None),
        (['sphinx'], None),  # for developers of this project
    ],
)
def test_the_extra_that_brings_a_package_is_named(modules, requirement, monkeypatch):
    monkeypatch.setattr(packages, 'find_spec', lambda name: None)
    with pytest.raises(MissingPackageError) as error:
        packages.require('a test', *modules)
    assert (f"pip install '{requirement}'" in str(error.value)) == (requirement is not None)
    assert ('a2sg-zoo' in str(error.value)) == (requirement is not None)


def test_a_folder_of_sources_has_no_extras(monkeypatch):
    monkeypatch.setattr(packages, '_PROJECT', 'not-installed-anywhere')
    with pytest.raises(MissingPackageError, match='pip install no_such_package$'):
        packages.require('a test', 'no_such_package')


def test_every_module_imports_or_names_what_it_lacks():
    code = """
import importlib, pkgutil, warnings
warnings.simplefilter('ignore')
import a2sg_zoo
from a2sg_zoo.errors import MissingPackageError
for found in pkgutil.walk_packages(a2sg_zoo.__path__, 'a2sg_zoo.', onerror=lambda name: None):
    if found.name.startswith('a2sg_zoo.configs'):
        continue
    try:
        importlib.import_module(found.name)
    except MissingPackageError as error:
        assert f'pip install ' in str(error) and found.name.partition('.')[0] in str(error), error
        print(found.name, error.name)
    except ImportError as error:
        assert 'pip install' in str(error), (found.name, error)
        print(found.name, 'another')
"""
    lacking = dict(line.split() for line in run(code).splitlines())
    assert len(lacking) > 20 and lacking['a2sg_zoo.hub.web'] == 'requests'
    core = ('adaptation', 'neurons', 'surrogates', 'models.backbones', 'models.layers', 'analysis.probe')
    assert not [name for name in lacking if name.removeprefix('a2sg_zoo.').startswith(core)]
    assert 'a2sg_zoo.analysis.monitor' not in lacking and 'a2sg_zoo.analysis.measures.variation' not in lacking


@pytest.mark.parametrize(
    'code, package',
    [
        ("a2sg_zoo.get_model('x')", 'pip install'),
        ('from a2sg_zoo.apis.inference import ImageClassifierInferencer', 'pip install'),
        ("from a2sg_zoo.registry import DATASETS; DATASETS.get('Digits')", 'torchvision'),
        ('a2sg_zoo.adaptation.TPESearcher()', 'hyperopt'),
        ("w.to_tensorboard('.')", 'tensorboard'),
    ],
)
def test_what_a_small_installation_lacks_is_said_in_words(code, package):
    said = run(
        f"""
import torch, a2sg_zoo, a2sg_zoo.adaptation
from a2sg_zoo.neurons import LIF
from a2sg_zoo.errors import A2SGError
network = torch.nn.Sequential(torch.nn.Linear(3, 5), LIF(T=2))
with a2sg_zoo.monitor(network) as w:
    network(torch.rand(2, 4, 3)).sum().backward()
try:
    {code}
except A2SGError as error:
    print('said:', error)
"""
    )
    assert 'said:' in said and 'pip install' in said and package in said


def test_a_command_says_it_in_one_line():
    done = subprocess.run(
        [sys.executable, '-c', HIDDEN + "from a2sg_zoo.cli import main; main(['predict', 'x', 'y.png'])"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and 'pip install' in done.stderr, (
        done.stderr
    )


def test_an_error_of_a_module_itself_stays():
    code = """
import sys
sys.modules['a2sg_zoo.surrogates.base'] = None
try:
    import a2sg_zoo.surrogates
except ModuleNotFoundError as error:
    print(type(error).__name__, error.name)
"""
    assert run(code, '').split() == ['ModuleNotFoundError', 'a2sg_zoo.surrogates.base']
