"""From the folder of a run, a checkpoint or a name of pretrained weights to a network and samples."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from a2sg_zoo.adaptation import attach
from a2sg_zoo.analysis.measures.objective import check_finite
from a2sg_zoo.engine.build import build_runner
from a2sg_zoo.engine.hooks.adaptation import AdaptationHook
from a2sg_zoo.engine.loaders import check_classes
from a2sg_zoo.engine.resume import find_checkpoint
from a2sg_zoo.errors import CheckpointError, ConfigError, DataError
from a2sg_zoo.hub.checkpoint import load_into, read_checkpoint, weights_of
from a2sg_zoo.hub.pretrained import find_entry, locate
from a2sg_zoo.utils.models import unwrap_model


def find_run(path: str | Path, config: str | Path | None = None, which: str = 'last') -> tuple[Path, Path, Path]:
    """Find checkpoint, config and folder of a run.

    Args:
        path: folder of a run, a checkpoint in it, or a name of pretrained weights.
        config: config file; by default the one that the run left in its folder, or that of the pretrained weights.
        which: 'best' or 'last' checkpoint of a folder.

    Returns:
        (checkpoint, config file, folder). For pretrained weights, the folder is work_dirs/zoo/NAME.

    Raises:
        CheckpointError: the path does not exist, or the folder has no checkpoint.
        ConfigError: there is no config, or more than one.
    """
    given = Path(path).expanduser()
    folder = given.is_dir()
    checkpoint = Path(find_checkpoint(given, which)) if folder else Path(locate(path))
    if not folder and checkpoint != given:
        entry = find_entry(str(path))
        return checkpoint, Path(config or entry['config']), Path('work_dirs', 'zoo', entry.name)
    if not checkpoint.exists():
        raise CheckpointError(
            f'{path} does not exist; use the folder of a run, a checkpoint, or a name of pretrained weights'
        )
    run = given if folder else checkpoint.parent
    if config is None:
        # a config is executed, so a Python file beside a checkpoint counts only in the folder of a run
        found = sorted(run.glob('*.py')) if folder or (run / 'last_checkpoint').is_file() else []
        if len(found) != 1:
            raise ConfigError(
                f'{run} has {len(found) or "no"} config{"s" * (len(found) > 1)} of a run; name the config of the '
                'checkpoint with --config'
            )
        config = found[0]
    return checkpoint, Path(config), run


def load_network(cfg: Config, checkpoint: str | Path) -> nn.Module:
    """Build the network of a config and load a checkpoint into it.

    Its neurons have the surrogate of the config's policy. It is in eval mode, on the GPU if there is one.

    Args:
        cfg: from `prepare_config`.
        checkpoint: file of the weights.

    Raises:
        CheckpointError: the weights do not fit, or are NaN or infinite.
    """
    cfg.load_from, cfg.resume, cfg.log_level = None, False, 'WARNING'
    cfg.visualizer = dict(type='Visualizer')  # the run's own visualizer would write into the folder of the run
    runner = build_runner(cfg)
    model = unwrap_model(runner.model)
    for hook in runner.hooks:
        if isinstance(hook, AdaptationHook):
            attach(model, hook.policy)
    load_into(model, weights_of(read_checkpoint(checkpoint), checkpoint), checkpoint)
    check_finite(model)
    return model.eval()


def load_batches(
    cfg: Config, model: Any, split: str = 'train', samples: int = 256, batch_size: int = 64, seed: int = 0
) -> list[tuple[torch.Tensor, Any]]:
    """Load a random choice of samples, the same for the same seed.

    Images for classification are not augmented: where their data set has a `pipeline`, they pass that of the test data.

    Args:
        cfg: config of a run.
        model: its network, for the preprocessing.
        split: 'train' or 'test'.
        samples: number of samples; if the data set has fewer, all of them.
        batch_size: samples in a batch.
        seed: seed of the choice.

    Returns:
        Batches (inputs, targets), preprocessed and on the network's device.

    Raises:
        DataError: the data set is empty.
    """
    settings = {**cfg[f'{split}_dataloader'], 'num_workers': 0, 'persistent_workers': False}
    # their pipelines load the truth, too
    dense = 'decode_head' in cfg.model or 'detection_head' in cfg.model
    if split == 'train' and not dense:
        pipeline = next((dataset['pipeline'] for dataset in _with_pipeline(cfg.test_dataloader.dataset)), [])
        settings['dataset'] = deepcopy(settings['dataset'])
        for dataset in _with_pipeline(settings['dataset']):
            dataset['pipeline'] = pipeline
    loader = Runner.build_dataloader(settings, seed=seed)
    check_classes(model, loader.dataset, f'the {split} data')
    if not len(loader.dataset):
        raise DataError(f'the {split} data set is empty')
    torch.manual_seed(seed)
    chosen = torch.randperm(len(loader.dataset), generator=torch.Generator().manual_seed(seed))[:samples].tolist()
    batches = []
    for start in range(0, len(chosen), batch_size):
        data = loader.collate_fn([loader.dataset[i] for i in chosen[start : start + batch_size]])
        # MMSegmentation's preprocessor pads segmentation masks like the images only with training=True
        data = model.data_preprocessor(data, training=dense)
        batches.append((data['inputs'], data['data_samples']))
    return batches


def _with_pipeline(dataset: Any) -> Iterator[Any]:
    """Yield the configs with a `pipeline` among that of a data set and those of the data sets in it."""
    if 'pipeline' in dataset:
        yield dataset
    for inner in (dataset.get('dataset'), *dataset.get('datasets', ())):
        if isinstance(inner, Mapping):
            yield from _with_pipeline(inner)
