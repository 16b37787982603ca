"""The entry of pretrained weights in the index: what a run, its config and its checkpoint say about them."""

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

import a2sg_zoo
from a2sg_zoo.analysis.loading import load_batches
from a2sg_zoo.analysis.measures.energy import PJ_MAC, PJ_SOP, ann_energy, measure_energy
from a2sg_zoo.engine.arguments import add_train_arguments
from a2sg_zoo.engine.run import test
from a2sg_zoo.engine.signatures import default_of, find_class
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub import web
from a2sg_zoo.registry import OPTIMIZERS

_NOT_STATED = 'none is stated at the source'
# facts about data sets; for others the publisher gives them
_DATA = {
    'Digits': dict(
        name="scikit-learn's digits",
        id='digits',
        licence='CC BY 4.0',
        about='1,437 handwritten digits for training, 360 for the test',
        url='https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits',
    ),
    'CIFAR10': dict(
        name='CIFAR-10',
        id='cifar10',
        licence=_NOT_STATED,
        url='https://www.cs.toronto.edu/~kriz/cifar.html',
        about='50,000 images of 10 classes for training, 10,000 for the test',
    ),
    'CIFAR100': dict(
        name='CIFAR-100',
        id='cifar100',
        licence=_NOT_STATED,
        url='https://www.cs.toronto.edu/~kriz/cifar.html',
        about='50,000 images of 100 classes for training, 10,000 for the test',
    ),
    'COCO': dict(
        name='COCO 2017',
        id='coco',
        licence='annotations CC BY 4.0; each picture has its own, see the source',
        about='118,287 pictures with objects of 80 classes for training, 5,000 for validation',
        url='https://cocodataset.org',
    ),
    'MiniatureCOCO': dict(
        name='drawn street scenes with objects',
        id='small_scenes',
        licence='Apache-2.0',
        about='pictures that this package draws, with boxes and masks of persons and cars',
    ),
    'ADE20K': dict(
        name='ADE20K SceneParse150',
        id='scene_parse_150',
        licence='for research; see the source',
        about='20,210 images of 150 classes for training, 2,000 for validation',
        url='https://groups.csail.mit.edu/vision/datasets/ADE20K/',
    ),
}


# number of test images on which spikes are counted
_COUNTED = 64


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise ValueError(message)


def parse_command(command: str | Sequence[str], folder: Path) -> argparse.Namespace:
    """The arguments of a command line of `a2sg-zoo train`.

    Args:
        command: text or words.
        folder: of the run, for messages.

    Raises:
        ConfigError: it is another command, or has wrong arguments.
    """
    words = shlex.split(command) if isinstance(command, str) else list(command)
    parser = _Parser(add_help=False)
    add_train_arguments(parser)
    try:
        return parser.parse_args(_after_the_tool(words))
    except ValueError as error:
        raise ConfigError(
            f'the command of {folder}, {shlex.join(words)!r:.200}, is no command of a2sg-zoo train ({error}); give it '
            "with --command 'a2sg-zoo train CONFIG ...'"
        ) from error


def _after_the_tool(words: Sequence[str]) -> Sequence[str]:
    for i, word in enumerate(words):
        if Path(word).name == 'train.py' or word == 'a2sg_zoo.cli.train':
            return words[i + 1 :]
        if Path(word).name == 'a2sg-zoo' and words[i + 1 : i + 2] == ['train']:
            return words[i + 2 :]
    raise ValueError('it names no train.py')


def facts_of_run(cfg: Config, args: argparse.Namespace, notes: Mapping, meta: Mapping, name: str) -> dict[str, Any]:
    """The fields of an entry that come from the run: config, data, recipe, licence and version.

    Args:
        cfg: config of the run.
        args: arguments of its command, see `parse_command`.
        notes: contents of its run.json.
        meta: what MMEngine stores under 'meta' in its checkpoint.
        name: of the weights.
    """
    config = Path(args.config)
    if config.is_absolute():  # as seen from the checkout
        parts = config.parts
        config = Path(*parts[parts.index('configs') :]) if 'configs' in parts else Path(config.name)
    processes = notes.get('world_size', 1)
    start = ['torchrun', '--nproc-per-node', str(processes)] if args.launcher == 'pytorch' else ['python']
    own = [
        *(['--amp'] if args.amp else []),
        *([] if args.seed is None else ['--seed', str(args.seed)]),
        *([] if args.launcher == 'none' else ['--launcher', args.launcher]),
        # a run that resumed from its own newest checkpoint gives the same weights as one without an interruption
        *([] if args.resume in (None, 'auto') else ['--resume', Path(args.resume).name]),
    ]
    methods = [word for name in args.method for word in ('--method', name)]
    options = [_public(option) for option in args.written_options]
    shared = [*methods, *(['--demo'] if args.demo else []), *(['--cfg-options', *options] if options else [])]
    dataset = cfg.test_dataloader.dataset
    kind = f'CIFAR{dataset.get("num_classes", 10)}' if dataset.type == 'CIFAR' else dataset.type
    return dict(
        config=config.as_posix(),
        licence='Apache-2.0',
        code_version=a2sg_zoo.__version__,
        data=_text(meta) if kind == 'Text' else _DATA.get(kind, dict(name=kind)),
        recipe=dict(
            command=shlex.join([*start, 'tools/train.py', config.as_posix(), *own, *shared]),
            evaluation=shlex.join(['python', 'tools/test.py', config.as_posix(), f'zoo:{name}', *shared]),
            **_settings(cfg, processes),
            method=_method((cfg.get('adaptation') or {}).get('policy')),
            seed=meta['seed'],
            iterations=meta['iter'],
            **({'resumed_at': notes['start_iter']} if notes.get('start_iter') else {}),
            device=notes['device'],
            commit=str(notes.get('commit')),
            torch=notes['torch'],
        ),
    )


def _text(meta: Mapping) -> dict[str, str]:
    """The field `data` of a language model: what its checkpoint says of the text."""
    source = meta['dataset_meta']['source']
    size = f'{source["characters"]:,} characters, the last part of them for the test; SHA-256 {source["sha256"]}'
    if 'python' not in source:
        return dict(name=source['text'], about=size)
    return dict(
        name="Python's documentation",
        id='pydoc_data.topics',
        licence='PSF-2.0',
        url='https://docs.python.org/3/license.html',
        about=f'pydoc_data.topics of Python {source["python"]} without repeated paragraphs: {size}',
    )


def _public(option: str) -> str:
    """An option without the paths of this machine, and without credentials."""
    key, _, value = option.partition('=')
    if value.startswith('/'):
        return f'{key}=PATH'
    return f'{key}={web.shown(value)}' if '://' in value else option


def _settings(cfg: Config, processes: int) -> dict[str, Any]:
    """The fields of a recipe that come from the config."""
    optimizer, wrapper = dict(cfg.optim_wrapper.optimizer), cfg.optim_wrapper
    kind = optimizer.pop('type')
    rate = optimizer.pop('lr', default_of(find_class(kind, [OPTIMIZERS]), 'lr'))
    others = [f'{key.replace("_", " ")} {value}' for key, value in optimizer.items()]
    batch = cfg.train_dataloader.batch_size * wrapper.get('accumulative_counts', 1) * processes
    variable = next(
        (name for name, value in cfg.env_variables.items() if value == cfg.test_dataloader.dataset.get('data_root')),
        None,
    )
    return dict(
        **(dict(variable=variable) if variable else {}),
        optimizer=', '.join([kind, *others]),
        learning_rate=rate,
        batch_size=batch,
    )


def _method(policy: Mapping | None) -> str:
    if policy is None:
        return "the config's surrogate, fixed"
    return f'{policy["surrogate"]["type"]}, fixed' if policy['type'] == 'Fixed' else policy['type']


def facts_of_weights(weights: Mapping[str, torch.Tensor], model: nn.Module) -> dict[str, Any]:
    """The fields `T`, `parameters` and `beta`."""
    beta = {
        name.removesuffix('.beta'): [round(value, 4) for value in x.flatten().tolist()]
        for name, x in weights.items()
        if name.endswith('.beta')
    }
    return dict(
        T=model.backbone.T, parameters=sum(p.numel() for p in model.parameters()), **(dict(beta=beta) if beta else {})
    )


def scores(cfg: Config, file: Path, result: Path) -> dict[str, Any]:
    """The fields `metrics` and, for a segmentation or detection, `per_class`: those of a file on the run's test data.

    Args:
        cfg: config of the run.
        file: of the weights.
        result: file for the result of the evaluation.
    """
    test(cfg, file, out=result)
    found = json.loads(result.read_text())
    per_class = [
        {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
        for row in found['per_class']
        if 'IoU' in row or 'AP' in row
    ]
    return dict(
        metrics={key: round(value, 4) for key, value in found['metrics'].items()},
        **(dict(per_class=per_class) if per_class else {}),
    )


def activity(cfg: Config, model: nn.Module) -> dict[str, Any]:
    """The fields `firing_rates` and `energy`: spikes counted on test images. A language model has the first alone."""
    batches = [inputs for inputs, _ in load_batches(cfg, model, 'test', _COUNTED, batch_size=16)]
    found = measure_energy(model, batches)
    if 'LanguageModel' in str(cfg.model.type):
        # a text is read step by step from carried states, which this count of whole sequences does not see
        return dict(firing_rates={layer: round(rate, 4) for layer, rate in found['rates'].items()})
    dense = sum(ann_energy(found).values())
    return dict(
        firing_rates={layer: round(rate, 4) for layer, rate in found['rates'].items()},
        energy={
            'multiply-accumulates': round(found['macs']),
            'additions caused by spikes': round(found['sops']),
            'microjoule': round(found['energy_pj'] / 1e6, 3),
            'microjoule as an ANN': round(dense / 1e6, 3),
            'mean firing rate': round(found['firing_rate'], 4),
            'assumptions': f'{PJ_MAC} pJ a multiply-accumulate, {PJ_SOP} pJ an addition (32 bits, 45 nm; Horowitz, '
            f'ISSCC 2014); without memory and neurons; mean of {sum(map(len, batches))} test images',
        },
    )
