"""Images decoded when they are asked for: what comes out, and what happens to a damaged one in mid-epoch."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from a2sg_zoo.datasets import ImageNet, SeededIndex
from a2sg_zoo.errors import ConfigError, DataError

PIPELINE = [
    dict(type='torchvision/RandomResizedCrop', size=24),
    dict(type='torchvision/RandomHorizontalFlip'),
    dict(type='torchvision/RandAugment'),
    dict(type='torchvision/PILToTensor'),
    dict(type='torchvision/RandomErasing', p=0.5),
]


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for name, mode in (('n01', 'RGB'), ('n02', 'L'), ('n02', 'CMYK')):
            path = tmp_path / split / name / f'{mode}.JPEG'
            path.parent.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(rng.integers(256, size=(40, 50, 3), dtype=np.uint8)).convert(mode)
            image.save(path)
    return tmp_path


def test_items(root, monkeypatch):
    monkeypatch.setenv('IMAGENET_ROOT', str(root))
    data = ImageNet(train=False)
    assert data.metainfo == dict(classes=('n01', 'n02')) and len(data) == 3
    assert [data[i]['data_samples'] for i in range(3)] == [0, 1, 1]
    with Image.open(root / 'val' / 'n01' / 'RGB.JPEG') as image:
        assert data[0]['inputs'].equal(torch.from_numpy(np.array(image)).permute(2, 0, 1))
    assert all(data[i]['inputs'].shape == (3, 40, 50) for i in range(3))


def test_augmentation_is_a_function_of_the_seed(root):
    data = ImageNet(root, pipeline=PIPELINE)
    images = [data[SeededIndex(0, seed)]['inputs'] for seed in (1, 2, 1)]
    assert images[0].shape == (3, 24, 24) and images[0].dtype == torch.uint8
    assert images[0].equal(images[2]) and not images[0].equal(images[1])


@pytest.mark.parametrize('keep', [0, 300])
@pytest.mark.parametrize('workers', [0, 1])
def test_damaged_image(root, keep, workers, logged):
    victim = root / 'train' / 'n02' / 'CMYK.JPEG'
    victim.write_bytes(victim.read_bytes()[:keep])
    data = ImageNet(root)
    with pytest.raises(DataError, match=str(victim)):
        list(DataLoader(data, batch_size=3, num_workers=workers))

    skipping = ImageNet(root, on_error='skip')
    assert all(skipping[1]['inputs'].equal(skipping[2]['inputs']) for _ in range(2))
    assert len(logged) == 1 and str(victim) in logged[0]


def test_nothing_but_damaged_images(root):
    for path in (root / 'train').rglob('*.JPEG'):
        path.write_bytes(b'')
    with pytest.raises(DataError, match=str(root / 'train')):
        ImageNet(root, on_error='skip')[0]


def test_mistakes(root):
    with pytest.raises(DataError) as error:
        ImageNet(root / 'nowhere')
    for part in (str(root / 'nowhere'), 'IMAGENET_ROOT', 'data_root=', '--demo'):
        assert part in str(error.value)
    with pytest.raises(ConfigError, match='on_error'):
        ImageNet(root, on_error='ignore')
    with pytest.raises(ConfigError, match='on_error'):
        ImageNet(root, train=False, on_error='skip')


def test_an_evaluation_needs_no_training_folder(root):
    expected = [item['data_samples'] for item in ImageNet(root, train=False)]
    (root / 'train').rename(root / 'elsewhere')
    with pytest.raises(ConfigError, match=str(root / 'train')):
        ImageNet(root, train=False)
    data = ImageNet(root, train=False, classes=['n02', 'n01'])
    assert [item['data_samples'] for item in data] == [0, 0, 1] and expected == [0, 1, 1]
    with pytest.raises(DataError, match="'n02'"):
        ImageNet(root, train=False, classes=['n01', 'n03'])
