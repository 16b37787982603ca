"""Pictures of many sizes do not fill the memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from a2sg_zoo.apis.inference import ImageClassifierInferencer
from tests.apis.pictures import task

ROOT = Path(__file__).resolve().parents[2]


SIZES = """if True:
    import sys
    import numpy as np
    from a2sg_zoo import SegmentationInferencer
    infer, rng = SegmentationInferencer('meta_spikeformer_small_camvid_a2sg', 'cpu'), np.random.default_rng(0)
    for i in range(100):
        infer(np.zeros((*rng.integers(120, 400, 2), 3), np.uint8))
        if i in (59, 99):
            print(int(open('/proc/self/statm').read().split()[1]) * 4096 // 10**6)
"""


@pytest.mark.slow
@pytest.mark.usefixtures('compiler')
@pytest.mark.skipif(not Path('/proc/self/statm').exists(), reason='reads the memory of a process as Linux tells it')
def test_pictures_of_many_sizes_do_not_fill_the_memory():
    """Each size is compiled once; without a bound, 100 sizes more take some 300 MB more."""
    printed = subprocess.check_output([sys.executable, '-c', SIZES], text=True, cwd=ROOT).splitlines()
    at_60, at_100 = (int(line) for line in printed if line.isdigit())
    assert at_100 - at_60 < 60


@task('classification')
@pytest.mark.parametrize('given, kept', [(None, '256'), ('7', '7')])
def test_the_cache_of_compiled_layers_is_bounded(weights, given, kept, monkeypatch):
    name = 'ONEDNN_PRIMITIVE_CACHE_CAPACITY'
    monkeypatch.delenv(name, raising=False) if given is None else monkeypatch.setenv(name, given)
    ImageClassifierInferencer('tiny', 'cpu')
    assert os.environ[name] == kept
