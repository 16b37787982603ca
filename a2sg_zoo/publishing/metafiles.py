"""Metafiles of the families of networks, in the layout that OpenMMLab's tools read, made from the index of weights.

`configs/FAMILY/metafile.yml` names the paper of a family and its pretrained weights with their results;
`model-index.yml` lists the metafiles.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from a2sg_zoo.engine.config_names import SHIPPED as SHIPPED_CONFIGS
from a2sg_zoo.engine.config_names import find_config
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.index import SHIPPED as SHIPPED_INDEX
from a2sg_zoo.hub.index import Entry

_TASKS = dict(
    classification='Image Classification',
    segmentation='Semantic Segmentation',
    detection='Object Detection',
    language='Language Modelling',
)
# names that OpenMMLab's metafiles use; other metrics stand on the cards alone
_METRICS = dict(
    top1='Top 1 Accuracy',
    top5='Top 5 Accuracy',
    mIoU='mIoU',
    mAcc='mAcc',
    aAcc='aAcc',
    bbox_mAP='box AP',
    segm_mAP='mask AP',
    bits_per_character='bits per character',
)


class Family(NamedTuple):
    """A family of networks.

    Attributes:
        name: of the collection.
        title: of the paper.
        url: of the paper.
        architecture: its main parts.
    """

    name: str
    title: str
    url: str
    architecture: tuple[str, ...]


# {folder in configs: family}
FAMILIES = {
    'resnet': Family(
        'Spiking ResNet',
        'Going Deeper With Directly-Trained Larger Spiking Neural Networks',
        'https://arxiv.org/abs/2011.05280',
        ('Spiking ResNet', 'LIF'),
    ),
    'sew_resnet': Family(
        'SEW-ResNet',
        'Deep Residual Learning in Spiking Neural Networks',
        'https://arxiv.org/abs/2102.04159',
        ('Spike-Element-Wise ResNet', 'LIF'),
    ),
    'vggsnn': Family(
        'VGGSNN',
        'Temporal Efficient Training of Spiking Neural Network via Gradient Re-weighting',
        'https://arxiv.org/abs/2202.11946',
        ('VGG', 'LIF'),
    ),
    'csnn': Family(
        'CSNN',
        'Incorporating Learnable Membrane Time Constant to Enhance Learning of Spiking Neural Networks',
        'https://arxiv.org/abs/2007.05785',
        ('VGG', 'PLIF', 'Voting'),
    ),
    'delay_snn': Family(
        'DelaySNN',
        'Learning Delays in Spiking Neural Networks using Dilated Convolutions with Learnable Spacings',
        'https://arxiv.org/abs/2306.17670',
        ('Learned Delays', 'LIF'),
    ),
    'rsnn': Family(
        'RecurrentSNN',
        'The Heidelberg Spiking Data Sets for the Systematic Evaluation of Spiking Neural Networks',
        'https://arxiv.org/abs/1910.07407',
        ('Recurrent SNN', 'PLIF'),
    ),
    'spikformer': Family(
        'Spikformer',
        'Spikformer: When Spiking Neural Network Meets Transformer',
        'https://arxiv.org/abs/2209.15425',
        ('Spiking Self Attention', 'Spiking Patch Splitting', 'LIF'),
    ),
    'sdt': Family(
        'Spike-driven Transformer',
        'Spike-driven Transformer',
        'https://arxiv.org/abs/2307.01694',
        ('Spike-Driven Self-Attention', 'Membrane Shortcut', 'LIF'),
    ),
    'meta_spikeformer': Family(
        'Meta-SpikeFormer',
        'Spike-driven Transformer V2: Meta Spiking Neural Network Architecture Inspiring the Design of Next-generation '
        'Neuromorphic Chips',
        'https://arxiv.org/abs/2404.03663',
        ('Spike-Driven Self-Attention', 'Spike Separable Convolution', 'LIF'),
    ),
    'e_spikeformer': Family(
        'E-SpikeFormer',
        'Scaling Spike-driven Transformer with Efficient Spike Firing Approximation Training',
        'https://arxiv.org/abs/2411.16061',
        ('Spike-Driven Self-Attention', 'Spike Firing Approximation', 'I-LIF'),
    ),
    'qkformer': Family(
        'QKFormer',
        'QKFormer: Hierarchical Spiking Transformer using Q-K Attention',
        'https://arxiv.org/abs/2403.16552',
        ('Q-K Attention', 'Spiking Self Attention', 'LIF'),
    ),
    'spikegpt': Family(
        'SpikeGPT',
        'SpikeGPT: Generative Pre-trained Language Model with Spiking Neural Networks',
        'https://arxiv.org/abs/2302.13939',
        ('Spiking attention with decay', 'LIF'),
    ),
}


def metafiles(entries: Mapping[str, Entry]) -> dict[str, str]:
    """The metafile of every family and the list of them.

    Args:
        entries: {name: entry} of the index.

    Returns:
        {path below the checkout: text}.

    Raises:
        ConfigError: the config of an entry is not shipped.
    """
    models: dict[str, list] = {folder: [] for folder in FAMILIES}
    for entry in entries.values():
        file = find_config(entry['config'])[0].resolve()
        folder = _folder(file)
        models[folder].append(_model(entry, file, folder))
    files = {f'configs/{folder}/metafile.yml': _text(_metafile(folder, models[folder])) for folder in FAMILIES}
    return {**files, 'model-index.yml': _text(dict(Import=sorted(files)))}


def _folder(config: Path) -> str:
    """The family of a config: its folder, or for one that stands in no folder the start of its name."""
    for folder in FAMILIES:
        if (
            config.parent.name == folder
            or config.parent == SHIPPED_CONFIGS.resolve()
            and config.stem.startswith(folder)
        ):
            return folder
    raise ConfigError(f'{config} is in the folder of no family; add the family to {__name__}.FAMILIES')


def _metafile(folder: str, models: Iterable[dict]) -> dict[str, Any]:
    family = FAMILIES[folder]
    collection = {
        'Name': family.name,
        'Metadata': {'Architecture': list(family.architecture)},
        'Paper': {'Title': family.title, 'URL': family.url},
        'README': f'configs/{folder}/README.md',
    }
    return {'Collections': [collection], 'Models': list(models)}


def _model(entry: Entry, config: Path, folder: str) -> dict[str, Any]:
    recipe = entry['recipe']
    return {
        'Name': entry.name,
        'In Collection': FAMILIES[folder].name,
        'Config': (Path('configs') / config.relative_to(SHIPPED_CONFIGS.resolve())).as_posix(),
        'README': f'model_cards/{entry.name}.md',
        'Metadata': {
            'Training Data': entry['data']['name'],
            'Parameters': entry['parameters'],
            'Time Steps': entry['T'],
            **{
                key: recipe[field]
                for key, field in (
                    ('Method', 'method'),
                    ('Optimizer', 'optimizer'),
                    ('Batch Size', 'batch_size'),
                    ('Iterations', 'iterations'),
                )
                if field in recipe
            },
        },
        'Results': [
            {
                'Task': _TASKS[entry['task']],
                'Dataset': entry['data']['name'],
                'Metrics': {_METRICS[name]: value for name, value in entry['metrics'].items() if name in _METRICS},
            }
        ],
        'Weights': _address(entry),
    }


def _address(entry: Entry) -> str:
    if entry.shipped is None:
        return entry['location']
    return (Path('a2sg_zoo/hub') / entry.shipped.relative_to(SHIPPED_INDEX.parent)).as_posix()


def _text(contents: Mapping[str, Any]) -> str:
    body = yaml.safe_dump(dict(contents), sort_keys=False, allow_unicode=True, width=1000)
    return f'# Made by `a2sg-zoo publish --update` from a2sg_zoo/hub/weights.json.\n{body}'
