"""Language models: networks that predict the next symbol of a text."""

from a2sg_zoo.hub import loaders as _  # noqa: F401  makes MMEngine's `init_cfg` read weights as data only

from .baselines import TextGRU, TextTransformer
from .language_model import LanguageHead, LanguageModel
from .spikegpt import SpikeGPT

__all__ = ['LanguageModel', 'LanguageHead', 'SpikeGPT', 'TextGRU', 'TextTransformer']
