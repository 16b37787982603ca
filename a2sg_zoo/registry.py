"""The registries: names in config files on one side, classes on the other.

Every registry that MMEngine also has is a child of MMEngine's, so a config names `AdamW` or `EncoderDecoder` beside
`Spikformer` without a prefix. A name is looked up in this project first, then in MMEngine, then in MMSegmentation.
MMSegmentation is imported only when a name is found in neither of the first two, because it takes seconds to load.

Four registries are this project's own. They hold what an experiment with surrogate gradients varies: the neuron, the
surrogate, the policy that sets the width of its window, and the searcher that the policy uses.

To add a class, decorate it in any file, and name that file in the config's `custom_imports`:

    from a2sg_zoo.registry import SURROGATES
    from a2sg_zoo.surrogates import Surrogate

    @SURROGATES.register_module()
    class Cosine(Surrogate): ...
"""

import contextlib
import difflib
import warnings
from importlib import import_module
from typing import Any

from mmengine import registry as mmengine
from mmengine.config import Config

from a2sg_zoo.distributions import check_segmentation
from a2sg_zoo.errors import ConfigError

SCOPE = 'a2sg_zoo'
# MMCV says so wherever its compiled operators are missing; nothing here uses them
warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
# data of detection, which needs pycocotools, and of segmentation, which imports MMSegmentation
_LATE_DATA = (
    'datasets.coco',
    'datasets.miniature.coco',
    'datasets.ade20k',
    'datasets.miniature.ade20k',
    'datasets.segmentation_sets',
    'datasets.mask_folder',
)


class Registry(mmengine.Registry):
    """MMEngine's registry, with lazy look-ups and suggestions for names that are not registered.

    Args:
        name: what one entry is called in messages, such as 'model'.
        parent: MMEngine's registry of the same kind, or None.
        modules: modules that register classes here, in the order in which they are imported. `get` stops importing at
            the first module after which the name is known.
        late: more of them, for tasks that need more libraries. `get` imports them, in this order, only for names that
            `modules` and MMEngine do not know.
        homes: modules of MMEngine that register classes in `parent`.
    """

    def __init__(
        self,
        name: str,
        parent: mmengine.Registry | None = None,
        modules: tuple[str, ...] = (),
        late: tuple[str, ...] = (),
        homes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(name, parent=parent, scope=SCOPE)
        self._to_import, self._late = list(modules), list(late)
        self._homes = homes

    def import_from_location(self) -> None:
        """Import every module that registers classes here."""
        for modules in (self._to_import, self._late):
            while modules:
                self._import_first(modules)

    def _import_first(self, modules: list[str]) -> None:
        module = modules[0]
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            if error.name in ('mmcv', 'mmseg'):
                check_segmentation()
            raise
        # a module may ask this registry while it is imported
        if module in modules:
            modules.remove(module)

    def _own(self, key: str, modules: list[str]) -> Any:
        while key not in self.module_dict and modules:
            self._import_first(modules)
        return self.module_dict.get(key)

    def get(self, key: str) -> Any:
        """Return the class that a name in a config stands for, None if there is none.

        Args:
            key: a registered name (`'LIF'`), one with a scope (`'mmseg.FCNHead'`) or an importable path
                (`'torch.nn.ReLU'`).
        """
        if '.' not in key:
            found = self._own(key, self._to_import)
            if found is None:
                found = self._of_mmengine(key)
            if found is None:
                found = self._own(key, self._late)
            if found is None and (segmentation := self._of_mmsegmentation()) is not None:
                # not with its `get`, which imports a module of this name if there is one
                found = segmentation.module_dict.get(key) or segmentation.parent.module_dict.get(key)
            return found
        if key.startswith('mmseg.'):
            self._of_mmsegmentation()
        return super().get(key)

    def _of_mmengine(self, key: str) -> Any:
        for home in self._homes:
            import_module(home)
        found = self.parent.module_dict.get(key) if self.parent is not None else None
        # MMCV registers classes with MMEngine, too; MMSegmentation's own, of the same names, come first
        return None if getattr(found, '__module__', '').startswith('mmcv.') else found

    def _of_mmsegmentation(self) -> mmengine.Registry | None:
        """MMSegmentation's registry of this kind, None for this project's own kinds."""
        if self.parent is None:
            return None
        import_mmsegmentation()
        segmentation = self.parent.children.get('mmseg')
        if segmentation is not None:
            with contextlib.redirect_stdout(None):  # it prints which of its optional packages are missing
                segmentation.import_from_location()
        return segmentation

    def own_names(self) -> list[str]:
        """Return the names that are registered here, without the parent's."""
        self.import_from_location()
        return list(self.module_dict)

    def names(self) -> list[str]:
        """Return all names that a config may use here, this registry's own first."""
        names = dict.fromkeys(self.own_names())
        segmentation = self._of_mmsegmentation()
        for home in self._homes:
            import_module(home)
        for registry in (segmentation, self.parent):
            names |= dict.fromkeys(registry.module_dict if registry is not None else ())
        return list(names)

    def unknown(self, key: Any) -> ConfigError:
        """Return the error for a name that is not registered. It suggests similar names."""
        lower = {name.lower(): name for name in reversed(self.names())}
        near = [lower[name] for name in difflib.get_close_matches(str(key).lower(), lower, n=3)]
        hint = f'did you mean {" or ".join(map(repr, near))}?' if near else f'known: {", ".join(sorted(self.names()))}'
        return ConfigError(
            f'{key!r} is not a registered {self.name}; {hint} '
            '(to use your own class, name the module that defines it in `custom_imports`)'
        )

    def build(self, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        """Build the object that a config describes.

        Args:
            cfg: `dict(type=NAME, ...)`; the other keys are arguments of the class.

        Raises:
            ConfigError: `cfg` is no such dictionary, or no class of that name is registered.
        """
        name = cfg.get('type') if isinstance(cfg, dict) else None
        if isinstance(name, str) and self.get(name) is None:
            raise self.unknown(name)
        # a text that stands for the dictionary is compared, and not looked up, which imports what a path names
        if isinstance(cfg, str) and cfg not in self.names():
            raise self.unknown(cfg)
        described = isinstance(cfg, (dict, Config)) and (args or kwargs or 'type' in cfg)
        # MMEngine makes a sequence of a list of models
        if not described and not (isinstance(cfg, list) and self.parent is not None):
            wanted = repr(cfg) if isinstance(cfg, str) else 'NAME'
            raise ConfigError(f'{cfg!r:.200} describes no {self.name}; write dict(type={wanted}, ...)')
        return super().build(cfg, *args, **kwargs)


def import_mmsegmentation() -> None:
    """Import MMSegmentation's registries, without what it prints on missing optional packages.

    Raises:
        ImportError: it is not installed.
    """
    check_segmentation()
    # files that its parts load are read by this project's readers, which run no code from them
    import_module('a2sg_zoo.hub.loaders')
    with contextlib.redirect_stdout(None):
        import_module('mmseg.registry')


def _child(
    kind: str, parent: mmengine.Registry | None, *modules: str, late: tuple[str, ...] = (), homes: tuple[str, ...] = ()
) -> Registry:
    own, after = (tuple(f'a2sg_zoo.{module}' for module in names) for names in (modules, late))
    return Registry(kind, parent, own, after, homes)


SURROGATES = _child('surrogate', None, 'surrogates')
NEURONS = _child('neuron', None, 'neurons')
POLICIES = _child('policy', None, 'adaptation')
SEARCHERS = _child('searcher', None, 'adaptation')

MODELS = _child(
    'model',
    mmengine.MODELS,
    'models.backbones',
    'models.losses',
    'models.classifiers',
    'models.encoders',
    'models.language',
    late=('models.necks', 'models.detectors', 'models.segmentors'),
    homes=('mmengine.model',),
)
DATASETS = _child('dataset', mmengine.DATASETS, 'datasets', late=_LATE_DATA, homes=('mmengine.dataset',))
TRANSFORMS = _child('transform', mmengine.TRANSFORMS, 'datasets', late=_LATE_DATA)
DATA_SAMPLERS = _child('data sampler', mmengine.DATA_SAMPLERS, 'engine.samplers', homes=('mmengine.dataset',))
HOOKS = _child('hook', mmengine.HOOKS, 'engine.hooks', homes=('mmengine.hooks',))
METRICS = _child(
    'metric',
    mmengine.METRICS,
    'engine.metrics.classification',
    'engine.metrics.language',
    late=('engine.metrics.detection', 'engine.metrics.segmentation'),
    homes=('mmengine.evaluator',),
)
LOOPS = _child('loop', mmengine.LOOPS, homes=('mmengine.runner',))
OPTIMIZERS = _child('optimizer', mmengine.OPTIMIZERS, homes=('mmengine.optim',))
OPTIM_WRAPPERS = _child('optim_wrapper', mmengine.OPTIM_WRAPPERS, 'engine.optimizers', homes=('mmengine.optim',))
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor', mmengine.OPTIM_WRAPPER_CONSTRUCTORS, homes=('mmengine.optim',)
)
PARAM_SCHEDULERS = _child('parameter scheduler', mmengine.PARAM_SCHEDULERS, homes=('mmengine.optim',))
EVALUATOR = _child('evaluator', mmengine.EVALUATOR, homes=('mmengine.evaluator',))
RUNNERS = _child('runner', mmengine.RUNNERS, homes=('mmengine.runner',))
WEIGHT_INITIALIZERS = _child(
    'weight initializer', mmengine.WEIGHT_INITIALIZERS, 'engine.pretrained_init', homes=('mmengine.model',)
)
MODEL_WRAPPERS = _child('model_wrapper', mmengine.MODEL_WRAPPERS, homes=('mmengine.model',))
VISUALIZERS = _child('visualizer', mmengine.VISUALIZERS, homes=('mmengine.visualization',))
VISBACKENDS = _child('vis_backend', mmengine.VISBACKENDS, homes=('mmengine.visualization',))
LOG_PROCESSORS = _child('log_processor', mmengine.LOG_PROCESSORS, homes=('mmengine.runner',))
TASK_UTILS = _child('task util', mmengine.TASK_UTILS)
