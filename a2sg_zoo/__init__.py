"""Spiking vision transformers for segmentation, trained with adaptive surrogate gradients."""

from a2sg_zoo.distributions import check_distributions
from a2sg_zoo.utils.packages import explain_missing_packages

__version__ = '0.2.0'

check_distributions()
explain_missing_packages()

# imported when asked for, so that `import a2sg_zoo` itself stays quick
_LAZY = {
    'list_models': 'a2sg_zoo.apis.models',
    'info': 'a2sg_zoo.apis.models',
    'get_model': 'a2sg_zoo.apis.models',
    'create_model': 'a2sg_zoo.apis.models',
    'ImageClassifierInferencer': 'a2sg_zoo.apis.inference',
    'SegmentationInferencer': 'a2sg_zoo.apis.inference',
    'DetectionInferencer': 'a2sg_zoo.apis.detection',
    'TextGenerator': 'a2sg_zoo.apis.language',
    'probe': 'a2sg_zoo.analysis.probe',
    'monitor': 'a2sg_zoo.analysis.monitor',
    **dict.fromkeys(
        (
            'attach',
            'detach',
            'A2SG',
            'STASG',
            'SASG',
            'TASG',
            'Fixed',
            'LSG',
            'CPNG',
            'MPDAGL',
            'Dspike',
            'EvolvingTanh',
        ),
        'a2sg_zoo.adaptation',
    ),
}


def __getattr__(name):
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__():
    return sorted({*globals(), *_LAZY})
