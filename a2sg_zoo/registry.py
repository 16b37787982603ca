"""The registries: names in config files on one side, classes on the other.

Each registry that MMEngine and MMSegmentation also have is a child of theirs, so a config may name
`EncoderDecoder` or `AdamW` beside `Spikformer` without a prefix. The four that are this project's own
hold what an experiment with surrogate gradients varies: the neuron, the shape of the surrogate, the
policy that sets its window, and the searcher that the policy uses.

Add your own class with the decorator, in any file, and name that file in the config's `custom_imports`:

    from a2sg_zoo.registry import SURROGATES
    from a2sg_zoo.surrogates import Surrogate

    @SURROGATES.register_module()
    class Cosine(Surrogate): ...
"""

import difflib

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry as _Registry
from mmseg import registry as mmseg_registry

from a2sg_zoo.errors import ConfigError

SCOPE = 'a2sg_zoo'


class Registry(_Registry):
    """MMEngine's registry, which also looks into its parents' lazily imported modules and, asked for
    an unknown name, answers with the nearest known ones."""

    def get(self, key):
        registry = self.parent
        while registry is not None:
            registry.import_from_location()
            registry = registry.parent
        return super().get(key)

    def names(self):
        """All names that a config may use here, this registry's own first."""
        names, registry = [], self
        while registry is not None:
            registry.import_from_location()
            names += [name for name in registry.module_dict if name not in names]
            registry = registry.parent
        return names

    def unknown(self, key):
        """The error for a name that is not registered, with suggestions."""
        lower = {name.lower(): name for name in reversed(self.names())}
        near = [lower[name] for name in difflib.get_close_matches(str(key).lower(), lower, n=3)]
        hint = f'did you mean {" or ".join(map(repr, near))}?' if near else f'known: {", ".join(sorted(self.names()))}'
        return ConfigError(f'{key!r} is not a registered {self.name}; {hint} '
                           '(a class of your own must be imported first: name its module in `custom_imports`)')

    def build(self, cfg, *args, **kwargs):
        if isinstance(cfg, dict) and isinstance(cfg.get('type'), str) and self.get(cfg['type']) is None:
            raise self.unknown(cfg['type'])
        return super().build(cfg, *args, **kwargs)


def _child(name, attribute, locations, parent=mmseg_registry):
    return Registry(name, parent=getattr(parent, attribute), scope=SCOPE, locations=locations)


SURROGATES = Registry('surrogate', scope=SCOPE, locations=['a2sg_zoo.surrogates'])
NEURONS = Registry('neuron', scope=SCOPE, locations=['a2sg_zoo.neurons'])
POLICIES = Registry('policy', scope=SCOPE, locations=['a2sg_zoo.adaptation'])
SEARCHERS = Registry('searcher', scope=SCOPE, locations=['a2sg_zoo.adaptation'])

MODELS = _child('model', 'MODELS', ['a2sg_zoo.backbones', 'a2sg_zoo.segmentors'])
DATASETS = _child('dataset', 'DATASETS', ['a2sg_zoo.datasets'])
TRANSFORMS = _child('transform', 'TRANSFORMS', ['a2sg_zoo.datasets'])
DATA_SAMPLERS = _child('data sampler', 'DATA_SAMPLERS', ['a2sg_zoo.engine'])
HOOKS = _child('hook', 'HOOKS', ['a2sg_zoo.adaptation', 'a2sg_zoo.engine'])
LOOPS = _child('loop', 'LOOPS', ['a2sg_zoo.engine'])
METRICS = _child('metric', 'METRICS', ['a2sg_zoo.engine'])
OPTIMIZERS = _child('optimizer', 'OPTIMIZERS', [])
OPTIM_WRAPPERS = _child('optim_wrapper', 'OPTIM_WRAPPERS', ['a2sg_zoo.engine'])
VISUALIZERS = _child('visualizer', 'VISUALIZERS', ['a2sg_zoo.engine'], mmengine_registry)
PARAM_SCHEDULERS = _child('parameter scheduler', 'PARAM_SCHEDULERS', [], mmengine_registry)
