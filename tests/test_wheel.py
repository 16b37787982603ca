"""The wheel, installed elsewhere: what a user does who never saw the checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from a2sg_zoo.datasets import Digits
from a2sg_zoo.hub.index import SHIPPED, read_index

ROOT = Path(__file__).resolve().parents[1]
NAME = 'resnet_small_digits_tri'

pytestmark = pytest.mark.slow


def run(*command, **kwargs):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def checkout(tmp_path_factory):
    """A copy, so that building leaves nothing in this one."""
    copy = tmp_path_factory.mktemp('checkout')
    for name in ('a2sg_zoo', 'configs', 'tools'):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('pyproject.toml', 'setup.py', 'README.md', 'LICENSE', 'model-index.yml'):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope='module')
def wheel(checkout):
    run(
        sys.executable,
        '-m',
        'pip',
        'wheel',
        '--no-deps',
        '--no-build-isolation',
        '--wheel-dir',
        checkout / 'dist',
        checkout,
    )
    (found,) = (checkout / 'dist').glob('a2sg_zoo-*.whl')
    return found


@pytest.fixture(scope='module', params=['wheel', 'editable'])
def installed(request, checkout, tmp_path_factory):
    """`installed(command, ...)` runs a command in a fresh environment, in a folder with nothing in it."""
    target = [request.getfixturevalue('wheel')] if request.param == 'wheel' else ['-e', checkout]
    folder = tmp_path_factory.mktemp(request.param)
    venv.create(folder / 'venv')
    python = folder / 'venv' / 'bin' / 'python'
    own = Path(run(python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))').strip())
    # all else is taken from the environment of the tests, whose own path files are not read
    (own / 'beside.pth').write_text(sysconfig.get_path('purelib') + '\n')
    run(sys.executable, '-m', 'pip', '--python', python, 'install', '--no-deps', '--no-build-isolation', *target)
    elsewhere = folder / 'elsewhere'
    elsewhere.mkdir()
    env = {key: value for key, value in os.environ.items() if key not in ('PYTHONPATH', 'A2SG_ZOO_INDEX')}
    env.update(PATH=f'{python.parent}{os.pathsep}{os.environ["PATH"]}', OMP_NUM_THREADS='1')

    def command(*words):
        return run(*words, cwd=elsewhere, env=env)

    place = Path(command('python', '-c', 'import a2sg_zoo; print(a2sg_zoo.__file__)').strip())
    assert place.is_relative_to(own if request.param == 'wheel' else checkout)
    return command, elsewhere


def test_from_the_list_to_the_accuracy_on_the_card(installed):
    command, elsewhere = installed
    assert f'\n{NAME}  ' in f'\n{command("a2sg-zoo", "download", "--list")}'
    assert f'{NAME}.safetensors' in command('a2sg-zoo', 'download', NAME)
    assert f'{len(read_index(SHIPPED))} weights, all in order' in command('a2sg-zoo', 'publish', '--check')
    data = Digits(train=False, size=8)
    Image.fromarray(data.images[0].permute(1, 2, 0).numpy()).save(elsewhere / 'digit.png')
    assert f'\ndigit.png: {int(data.labels[0])} ' in f'\n{command("a2sg-zoo", "predict", NAME, "digit.png")}'
    command('python', '-m', 'a2sg_zoo.cli.test', f'configs/{NAME}.py', f'zoo:{NAME}', '--out', 'result.json')
    scores = json.loads((elsewhere / 'result.json').read_text())['metrics']
    # another processor rounds otherwise, which may flip a spike and so the class of an image
    assert scores == pytest.approx(read_index(SHIPPED)[NAME]['metrics'], abs=0.6)


def test_configs_and_suites(installed):
    command, _ = installed
    assert 'digits-tri-s0' in command('a2sg-zoo', 'benchmark', 'configs/suites/small_cpu.py', '--dry-run')
    assert f'configs{os.sep}resnet{os.sep}resnet18_cifar10' in command(
        'python',
        '-c',
        'from a2sg_zoo.engine.run import prepare_config; '
        "print(prepare_config('configs/resnet18_cifar10_a2sg.py').filename)",
    )


def test_the_tools_are_listed(installed):
    command, _ = installed
    names = {path.stem for path in (ROOT / 'tools').glob('*.py')}
    said = command('a2sg-zoo', '--help')
    assert all(name in said for name in names)
    said = command('a2sg-zoo', 'predict', '--help')
    assert 'usage: a2sg-zoo predict ' in said and '    a2sg-zoo predict NAME cat.jpg' in said


def test_all_of_it_is_in_the_wheel(wheel):
    found = set(zipfile.ZipFile(wheel).namelist())
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'a2sg_zoo').rglob('*.py')}
    expected |= {
        f'a2sg_zoo/{path.relative_to(ROOT).as_posix()}'
        for kind in ('*.py', '*.yml')
        for path in (ROOT / 'configs').rglob(kind)
    }
    expected |= {path.relative_to(ROOT).as_posix() for path in (ROOT / 'a2sg_zoo').rglob('*.j2')}
    assert expected | {'a2sg_zoo/py.typed', 'a2sg_zoo/hub/weights.json'} <= found
    assert {name.partition('/')[0].partition('-')[0] for name in found} == {'a2sg_zoo'}
