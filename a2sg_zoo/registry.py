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

import contextlib
import difflib
import warnings

from mmengine.registry import Registry as _Registry

from a2sg_zoo.errors import ConfigError

with contextlib.redirect_stdout(None):  # two lines on an optional package of theirs
    from mmseg import datasets as _  # noqa: F401
    from mmseg import registry as mmseg

SCOPE = 'a2sg_zoo'
# said by mmcv whenever it is installed without compiled operators, none of which is used here
warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')


class Registry(_Registry):
    """MMEngine's registry, which also looks into its parents' lazily imported modules and, asked for
    an unknown name, answers with the nearest known ones."""

    def get(self, key):
        registry = self.parent
        while registry is not None:
            registry.import_from_location()
            registry = registry.parent
        return super().get(key)

    def own_names(self):
        """The names that are registered here, not those of the parents."""
        self.import_from_location()
        return list(self.module_dict)

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
        return ConfigError(
            f'{key!r} is not a registered {self.name}; {hint} '
            '(a class of your own must be imported first: name its module in `custom_imports`)'
        )

    def build(self, cfg, *args, **kwargs):
        if isinstance(cfg, dict) and isinstance(cfg.get('type'), str) and self.get(cfg['type']) is None:
            raise self.unknown(cfg['type'])
        return super().build(cfg, *args, **kwargs)


def _child(name, parent, *locations):
    return Registry(name, parent=parent, scope=SCOPE, locations=[f'a2sg_zoo.{location}' for location in locations])


SURROGATES = _child('surrogate', None, 'surrogates')
NEURONS = _child('neuron', None, 'neurons')
POLICIES = _child('policy', None, 'adaptation')
SEARCHERS = _child('searcher', None, 'adaptation')

MODELS = _child('model', mmseg.MODELS, 'models.backbones', 'models.segmentors', 'models.classifiers', 'models.losses')
DATASETS = _child('dataset', mmseg.DATASETS, 'datasets')
TRANSFORMS = _child('transform', mmseg.TRANSFORMS, 'datasets')
DATA_SAMPLERS = _child('data sampler', mmseg.DATA_SAMPLERS, 'engine.samplers')
HOOKS = _child('hook', mmseg.HOOKS, 'engine.hooks')
METRICS = _child('metric', mmseg.METRICS, 'engine.metrics')
LOOPS = _child('loop', mmseg.LOOPS)
OPTIMIZERS = _child('optimizer', mmseg.OPTIMIZERS)
OPTIM_WRAPPERS = _child('optim_wrapper', mmseg.OPTIM_WRAPPERS, 'engine.optimizers')
OPTIM_WRAPPER_CONSTRUCTORS = _child('optimizer wrapper constructor', mmseg.OPTIM_WRAPPER_CONSTRUCTORS)
PARAM_SCHEDULERS = _child('parameter scheduler', mmseg.PARAM_SCHEDULERS)
EVALUATOR = _child('evaluator', mmseg.EVALUATOR)
RUNNERS = _child('runner', mmseg.RUNNERS)
WEIGHT_INITIALIZERS = _child('weight initializer', mmseg.WEIGHT_INITIALIZERS)
MODEL_WRAPPERS = _child('model_wrapper', mmseg.MODEL_WRAPPERS)
VISUALIZERS = _child('visualizer', mmseg.VISUALIZERS)
VISBACKENDS = _child('vis_backend', mmseg.VISBACKENDS)
LOG_PROCESSORS = _child('log_processor', mmseg.LOG_PROCESSORS)
