"""What an import costs: the heart needs torch and MMEngine's registry alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {
    'cv2',
    'hyperopt',
    'matplotlib',
    'mmcv',
    'mmseg',
    'pycocotools',
    'requests',
    'scipy',
    'skimage',
    'sklearn',
    'sympy',
    'torch._dynamo',
    'torchvision',
}
HEART = (
    'a2sg_zoo.adaptation, a2sg_zoo.neurons, a2sg_zoo.surrogates, a2sg_zoo.models.backbones, '
    'a2sg_zoo.analysis.measures.variation, a2sg_zoo.analysis.probe, a2sg_zoo.analysis.monitor'
)


def loaded(code):
    """Runs code in a process of its own; returns (its CPU time / that of importing torch, heavy modules it loaded)."""
    program = (
        'import json, sys, time\nstart = time.process_time()\nimport torch\n'
        f'middle, before = time.process_time(), {{*sys.modules}}\n{code}\n'
        'print(json.dumps([time.process_time() - middle, middle - start, [*({*sys.modules} - before)]]))'
    )
    said = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    seconds, torch, modules = json.loads(said.splitlines()[-1])
    return seconds / torch, HEAVY & {*modules}


def test_the_heart_is_light():
    # the fastest of some runs: other processes of the machine take their share
    runs = [loaded(f'import {HEART}') for _ in range(3)]
    assert runs[0][1] == set()
    assert min(ratio for ratio, _ in runs) <= 0.15


def test_networks_and_searches_by_name_are_light():
    code = (
        'from a2sg_zoo.registry import MODELS, POLICIES\n'
        "MODELS.build(dict(type='Spikformer', embed_dims=32, depth=1, num_heads=4))\n"
        "POLICIES.build(dict(type='A2SG', searcher=dict(type='ExactSearcher')))"
    )
    assert loaded(code)[1] <= {'sympy'}  # MMEngine's builder of models loads a part of torch that needs it


# names of registries, and the package in which the first look-up has to find them
NAMES = [
    ('MODELS', 'EncoderDecoder', 'mmseg.models'),
    ('MODELS', 'SyncBN', 'mmengine.utils'),
    ('MODELS', 'SpikingClassifier', 'a2sg_zoo.models'),
    ('MODELS', 'ImgDataPreprocessor', 'mmengine.model'),
    # MMCV registers transforms of the same names with MMEngine
    ('TRANSFORMS', 'Resize', 'mmseg.datasets'),
    ('TRANSFORMS', 'LoadAnnotations', 'mmseg.datasets'),
    ('TRANSFORMS', 'LoadImageFromFile', 'mmcv.transforms'),
    ('TRANSFORMS', 'mmseg.PackSegInputs', 'mmseg.datasets'),
    ('DATASETS', 'ADE20K', 'a2sg_zoo.datasets'),
    ('DATASETS', 'CityscapesDataset', 'mmseg.datasets'),
    ('METRICS', 'SegmentationMetric', 'a2sg_zoo.engine'),
    ('METRICS', 'IoUMetric', 'mmseg.evaluation'),
    ('MODELS', 'SpikingDetector', 'a2sg_zoo.models'),
    ('DATASETS', 'COCO', 'a2sg_zoo.datasets'),
    ('TRANSFORMS', 'PackDetection', 'a2sg_zoo.datasets'),
    ('METRICS', 'DetectionMetric', 'a2sg_zoo.engine'),
    ('HOOKS', 'SegVisualizationHook', 'mmseg.engine'),
    ('HOOKS', 'EMAHook', 'mmengine.hooks'),
    ('TASK_UTILS', 'OHEMPixelSampler', 'mmseg.structures'),
    ('LOOPS', 'IterBasedTrainLoop', 'mmengine.runner'),
]
# one of this package, one of MMSegmentation, and one of those that two packages register
QUICK = 'SpikingClassifier', 'CityscapesDataset', 'Resize'


@pytest.mark.parametrize(
    'registry, name, module',
    [pytest.param(*each, marks=() if each[1] in QUICK else pytest.mark.slow) for each in NAMES],
)
def test_the_first_name_that_is_looked_up_is_found(registry, name, module):
    code = f'from a2sg_zoo.registry import {registry} as r\nassert r.get({name!r}).__module__.startswith({module!r})'
    _, heavy = loaded(code)
    assert 'mmseg' in heavy or not module.startswith('mmseg')


def test_a_task_loads_nothing_of_another():
    code = 'from a2sg_zoo.registry import DATASETS, METRICS, MODELS\n'
    names = [('MODELS', 'SpikingClassifier'), ('DATASETS', 'CIFAR'), ('METRICS', 'Accuracy')]
    classification = code + '\n'.join(f'assert {registry}.get({name!r})' for registry, name in names)
    classification += "\nimport sys\nassert 'a2sg_zoo.models.detectors' not in sys.modules"
    assert not loaded(classification)[1] & {'mmseg', 'mmcv', 'pycocotools'}
    names = [
        ('MODELS', 'SpikingDetector'),
        ('MODELS', 'MaskRCNNHead'),
        ('DATASETS', 'COCO'),
        ('METRICS', 'DetectionMetric'),
    ]
    detection = code + '\n'.join(f'assert {registry}.get({name!r})' for registry, name in names)
    assert not loaded(detection)[1] & {'mmseg', 'mmcv', 'pycocotools'}


def test_what_is_found_does_not_depend_on_what_was_loaded_before():
    code = (
        'import mmcv.transforms\nfrom a2sg_zoo.registry import TRANSFORMS\n'
        "assert TRANSFORMS.get('Resize').__module__.startswith('mmseg.')"
    )
    loaded(code)
