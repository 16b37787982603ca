"""Config parts of data with a time axis: real files reach a training by the command line, and demos fit the network."""

import subprocess
import sys

import pytest

from a2sg_zoo.engine.config import load_config
from a2sg_zoo.registry import DATASETS
from tests.cli.test_classification import ROOT, losses
from tests.datasets.test_spikes import CLASSES, sample, write

# data set: (T, in_features) of a network for it
SEQUENCES = dict(
    digit_sequences=(64, 1),
    digit_sequences_permuted=(64, 1),
    digit_rows=(8, 8),
    spoken_digits=(64, 64),
    sequential_mnist=(784, 1),
    permuted_mnist=(784, 1),
    sequential_cifar10=(32, 96),
    shd=(100, 140),
    ssc=(100, 140),
)
EVENTS = dict(dvs_gesture=16, dvs_gesture_48=16, nmnist=10, ncaltech101=10, cifar10_dvs=10)


def config(folder, data, model):
    file = folder / f'{data}.py'
    file.write_text(
        f"""_base_ = [
    'a2sg_zoo::_base_/datasets/{data}.py',
    'a2sg_zoo::_base_/schedules/short_sgd.py',
    'a2sg_zoo::_base_/default_runtime.py',
]
model = {model!r}
"""
    )
    return file


def sequence_model(T, features):
    return dict(
        type='SpikingClassifier',
        backbone=dict(type='DelaySNN', in_features=features, widths=(8,), max_delay=3, T=T, time='keep'),
        head=dict(type='LinearHead', in_channels=8),
    )


@pytest.mark.parametrize('data', SEQUENCES)
def test_the_demo_of_sequences_fits_the_network(data, tmp_path):
    T, features = SEQUENCES[data]
    file = config(tmp_path, data, sequence_model(T, features))
    real, demo = load_config(file), load_config(file, demo=True)
    for loader in (demo.train_dataloader, demo.val_dataloader, demo.test_dataloader):
        inputs = DATASETS.build(loader.dataset)[0]['inputs']
        assert inputs.shape == (demo.model.backbone.T, features)
    assert demo.model.head.num_classes == 10
    assert real.model.backbone.T == T and demo.model.backbone.in_features == features


@pytest.mark.parametrize('data', EVENTS)
def test_the_demo_of_events_fits_the_network(data, tmp_path):
    model = dict(
        type='SpikingClassifier',
        backbone=dict(type='VGGSNN', T=EVENTS[data], time='keep'),
        head=dict(type='LinearHead', in_channels=512),
    )
    file = config(tmp_path, data, model)
    real, demo = load_config(file), load_config(file, demo=True)
    assert real.train_dataloader.dataset.T == real.test_dataloader.dataset.T == EVENTS[data]
    for loader in (demo.train_dataloader, demo.test_dataloader):
        assert DATASETS.build(loader.dataset)[0]['inputs'].shape == (demo.model.backbone.T, 2, 16, 16)


def train(file, folder, *arguments):
    command = [sys.executable, '-m', 'a2sg_zoo.cli.train', str(file), '--work-dir', str(folder / 'run'), *arguments]
    environment = dict(PATH='/usr/bin:/bin', PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', HOME=str(folder))
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, timeout=300)


def test_a_training_on_files_of_shd(tmp_path):
    pytest.importorskip('h5py', reason='needs the extra a2sg-zoo[events]')
    for split, count in (('train', 12), ('test', 5)):
        samples = [sample(i) for i in range(count)]
        write(tmp_path / 'data' / 'SHD' / f'shd_{split}.h5', samples, [i % 20 for i in range(count)], CLASSES)
    short = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'train_dataloader.batch_size=4']
    short += ['train_dataloader.num_workers=0', 'val_dataloader.num_workers=0', 'default_hooks.logger.interval=1']
    short += [f'{name}_dataloader.persistent_workers=False' for name in ('train', 'val')]
    refused = train(config(tmp_path, 'shd', sequence_model(100, 700)), tmp_path, '--cfg-options', *short)
    assert refused.returncode == 2 and 'in_features' in refused.stderr and 'Traceback' not in refused.stderr
    trained = train(config(tmp_path, 'shd', sequence_model(100, 140)), tmp_path, '--cfg-options', *short)
    assert trained.returncode == 0, trained.stderr
    assert set(losses(tmp_path / 'run')) == {1, 2}
