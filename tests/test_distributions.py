"""Original and continuation installed over each other are told apart before either is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'a2sg_zoo'
CONTINUATIONS = ['onedl-mmengine', 'onedl-mmcv', 'onedl-mmsegmentation']
# sees only the folder given, like an environment in which nothing else is installed
CODE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location('distributions', sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.path[:] = [sys.argv[2]]
module.check_distributions()
assert 'torch' not in sys.modules
"""


def check(folder, *names, code=CODE):
    for name in names:
        info = folder / f'{name.replace("-", "_")}-1.2.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n')
    return subprocess.run(
        [sys.executable, '-S', '-c', code, PACKAGE / 'distributions.py', folder], capture_output=True, text=True
    )


def test_the_continuations_alone_pass(tmp_path):
    assert check(tmp_path, *CONTINUATIONS).returncode == 0


@pytest.mark.parametrize(
    'original, continuation',
    [
        ('mmengine', 'onedl-mmengine'),
        ('mmcv', 'onedl-mmcv'),
        ('mmcv-lite', 'onedl-mmcv'),
        ('mmsegmentation', 'onedl-mmsegmentation'),
    ],
)
def test_an_original_over_its_continuation(tmp_path, original, continuation):
    said = check(tmp_path, original, *CONTINUATIONS).stderr
    assert 'ImportError: ' in said and f'{original} 1.2' in said
    assert f'pip uninstall -y {original} {continuation}\n' in said
    assert f'pip install --force-reinstall --no-deps {continuation}\n' in said


def test_an_original_in_place_of_its_continuation(tmp_path):
    said = check(tmp_path, 'mmcv', 'onedl-mmengine', 'onedl-mmsegmentation').stderr
    assert 'pip uninstall -y mmcv\n' in said and 'pip install --force-reinstall --no-deps onedl-mmcv\n' in said


def test_mmengine_is_missing(tmp_path):
    said = check(tmp_path, 'onedl-mmcv').stderr
    assert 'ImportError: ' in said and 'pip install onedl-mmengine\n' in said


def test_the_core_needs_mmengine_alone_and_segmentation_says_what_it_lacks(tmp_path):
    assert check(tmp_path, 'onedl-mmengine', 'onedl-mmcv').returncode == 0
    said = check(tmp_path, code=CODE.replace('check_distributions', 'check_segmentation')).stderr
    assert 'ImportError: ' in said and 'pip install onedl-mmsegmentation\n' in said


def test_importing_the_package_is_cheap():
    code = 'import sys, a2sg_zoo; print(*sys.modules)'
    imported = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    ).stdout.split()
    assert 'a2sg_zoo' in imported and not {'torch', 'mmengine', 'numpy'} & {*imported}
