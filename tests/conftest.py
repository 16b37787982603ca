"""Shared fixtures. Reference files and real data are not in the repository; tests that use them skip without."""

import importlib.util
import logging
import os
import sys
from pathlib import Path

import pytest
import torch
import torch._dynamo.config
from hypothesis import settings
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

# SpikingJelly requires torchaudio, whose wheel suits one version of CUDA alone; transformers would import it
if importlib.util.find_spec('transformers') and importlib.util.find_spec('torchaudio'):
    try:
        importlib.import_module('torchaudio')
    except Exception:
        sys.modules['torchaudio'] = None
# how long an example takes is the machine's business
settings.register_profile('unhurried', deadline=None)
settings.load_profile('unhurried')

SHARED = Path(__file__).resolve().parents[2] / 'shared'
GOLDEN = pytest.StashKey[Path]()


def pytest_addoption(parser):
    parser.addoption(
        '--golden',
        metavar='SOURCE',
        default=os.environ.get('A2SG_ZOO_GOLDEN'),
        help='reference files of the published networks: a folder, an archive, an address, or "download" '
        '(default: A2SG_ZOO_GOLDEN, or ../shared/golden beside the checkout)',
    )


def pytest_configure(config):
    # A few training steps take less time than to compile their kernels, here and in the commands that tests start.
    # Tests of kernels take the fixture `compiler`. torch.compile has read the variable by now, so it works in this
    # process. The process that starts others for the tests (-n 2) does not set it: they would read it first.
    if not getattr(config.option, 'numprocesses', None):
        os.environ.setdefault('TORCH_COMPILE_DISABLE', '1')
    source = config.getoption('--golden')
    config.stash[GOLDEN] = SHARED / 'golden'
    if source:
        from a2sg_zoo.errors import A2SGError
        from tests import golden_files

        try:
            config.stash[GOLDEN] = golden_files.find(source)
        except A2SGError as error:
            raise pytest.UsageError(f'--golden: {error}') from error


def pytest_collection_modifyitems(items):
    long = {*(Path(__file__).parent / 'long.txt').read_text().split()}
    for item in items:
        if item.nodeid.partition('[')[0] in long:
            item.add_marker('long')


@pytest.fixture
def compiler(monkeypatch):
    """Has large tensors go through compiled kernels."""
    monkeypatch.delenv('TORCH_COMPILE_DISABLE', raising=False)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def _default_scope():
    """Ends the default scope that a runner sets for the whole process, so that the order of tests plays no part."""
    before = DefaultScope._instance_dict.copy()  # no public function removes a scope
    yield
    DefaultScope._instance_dict = before


_scope_of_a_module = pytest.fixture(autouse=True, scope='module')(_default_scope)
_scope_of_a_test = pytest.fixture(autouse=True)(_default_scope)


@pytest.fixture
def shared():
    """`shared(*parts)`: the path of a reference file; skips the test where it is absent."""

    def find(*parts):
        path = SHARED.joinpath(*parts)
        if not path.exists():
            pytest.skip(f'reference file {Path(*parts)} is not at hand (it is not part of the repository)')
        return path

    return find


@pytest.fixture
def golden_file(request):
    """`golden_file(name)`: the path of a reference file of a published network; skips the test where it is absent."""
    from tests import golden_files

    def find(name):
        path = request.config.stash[GOLDEN] / f'{name}.safetensors'
        if not path.is_file():
            pytest.skip(
                f'{path.name} is not at hand: pytest --golden download, or --golden FOLDER; see Reference files in '
                'CONTRIBUTING.md'
            )
        wrong = golden_files.fault_of(path)
        if wrong:
            pytest.fail(f'{path} is damaged: {wrong}')
        return path

    return find


@pytest.fixture
def logged():
    """The warnings and errors that MMEngine's logger gets, as texts."""
    texts = []

    class Handler(logging.Handler):
        def emit(self, record):
            texts.append(record.getMessage())

    logger, handler = MMLogger.get_current_instance(), Handler(logging.WARNING)
    logger.addHandler(handler)
    yield texts
    logger.removeHandler(handler)
