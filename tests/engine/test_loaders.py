"""Names of classes: those of weights, training, validation, network and config are the same, or an error names them."""

import doctest
import itertools
import random

import pytest
import safetensors.torch
import torch
from mmengine.config import Config
from PIL import Image

from a2sg_zoo.datasets import Digits
from a2sg_zoo.engine import loaders
from a2sg_zoo.engine.loaders import ClassNames, check_classes, set_classes
from a2sg_zoo.engine.run import prepare_config, train
from a2sg_zoo.engine.run import test as evaluate
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.hub.published import read, save
from a2sg_zoo.registry import DATASETS

CONFIG = 'configs/resnet/resnet_small_digits.py'
WEIGHTS = 'resnet_small_digits_tri'
NAMES = [*'0123456789']
BOTH = "(?=.*'3')(?=.*'three')"


@DATASETS.register_module()
class DigitsNamed(Digits):
    """The digits under other names, or with some of the ten left out of the names."""

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.metainfo = dict(classes=tuple(classes))


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    """The test digits as files, data_root/test/CLASS/NAME.png, and nothing else: no folder train."""
    root = tmp_path_factory.mktemp('digits')
    data = Digits(train=False, size=8)
    for i, label in enumerate(data.labels[:120]):
        path = root / 'test' / NAMES[label] / f'{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.images[i].permute(1, 2, 0).numpy()).save(path)
    return root


def folder_config(root, work_dir, **dataset):
    cfg = prepare_config(CONFIG, work_dir=work_dir)
    cfg.test_dataloader.dataset = dict(type='ImageFolder', data_root=str(root), train=False, size=8, **dataset)
    return cfg


@pytest.fixture(scope='module')
def score(pictures, tmp_path_factory):
    return evaluate(folder_config(pictures, tmp_path_factory.mktemp('run')), f'zoo:{WEIGHTS}')


def test_an_evaluation_takes_its_classes_from_the_weights(score):
    assert score['top1'] > 80


def reordered(path, order):
    """The weights with their classes in another order, and the rows of their head likewise."""
    from a2sg_zoo.hub.pretrained import locate

    weights, description = read(locate(f'zoo:{WEIGHTS}'))
    for name, x in weights.items():
        if name.startswith('head.') and len(x) == 10:
            weights[name] = x[order]
    description.classes[:] = [NAMES[i] for i in order]
    save(weights, description, path)
    return path


@pytest.mark.parametrize('seed', [1, 2])
def test_any_order_of_the_classes_gives_the_same_score(seed, pictures, score, tmp_path):
    order = random.Random(seed).sample(range(10), 10)
    path = reordered(tmp_path / 'x.safetensors', order)
    assert evaluate(folder_config(pictures, tmp_path), path) == score
    with pytest.raises(ConfigError, match='x.safetensors'):  # labels of this data set are numbers, not names
        evaluate(prepare_config(CONFIG, work_dir=tmp_path), path)


def test_weights_of_other_classes_are_refused_with_their_names(pictures, tmp_path):
    from a2sg_zoo.hub.pretrained import locate

    weights, description = read(locate(f'zoo:{WEIGHTS}'))
    description.classes[3] = 'three'
    save(weights, description, tmp_path / 'x.safetensors')
    with pytest.raises(DataError, match=BOTH):
        evaluate(folder_config(pictures, tmp_path), tmp_path / 'x.safetensors')
    with pytest.raises(ConfigError, match=BOTH):
        evaluate(prepare_config(CONFIG, work_dir=tmp_path), tmp_path / 'x.safetensors')
    with pytest.raises(ConfigError, match=BOTH):
        evaluate(folder_config(pictures, tmp_path, classes=NAMES), tmp_path / 'x.safetensors')


def test_weights_that_name_no_classes(pictures, score, tmp_path):
    from a2sg_zoo.hub.pretrained import locate

    path = tmp_path / 'bare.safetensors'
    safetensors.torch.save_file(read(locate(f'zoo:{WEIGHTS}'))[0], path)
    with pytest.raises(ConfigError, match='classes'):  # nothing tells them: neither weights, nor config, nor train
        evaluate(folder_config(pictures, tmp_path), path)
    assert evaluate(folder_config(pictures, tmp_path, classes=NAMES), path) == score


def short(work_dir, **options):
    return prepare_config(CONFIG, {'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2, **options}, work_dir=work_dir)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A checkpoint of a run on the digits."""
    folder = tmp_path_factory.mktemp('trained')
    train(short(folder))
    return folder / 'iter_2.pth'


OTHERS = {'renamed': [*NAMES[:3], 'three', *NAMES[4:]], 'in another order': [*NAMES[1:], NAMES[0]], 'fewer': NAMES[:9]}


@pytest.mark.parametrize('kind', OTHERS)
@pytest.mark.parametrize('loader', ['val_dataloader', 'train_dataloader'])
def test_training_and_validation_have_the_same_classes(kind, loader, tmp_path):
    cfg = short(tmp_path)
    cfg[loader].dataset = dict(type='DigitsNamed', size=8, classes=OTHERS[kind])
    with pytest.raises(ConfigError) as error:
        train(cfg)
    assert loader in str(error.value) and not list(tmp_path.glob('*.pth'))


@pytest.mark.parametrize('resume', [True, False])
def test_a_checkpoint_of_other_classes_is_not_trained_on(resume, trained, tmp_path):
    for kind in ('renamed', 'in another order'):
        cfg = short(tmp_path, load_from=str(trained)) if not resume else short(tmp_path)
        for loader in ('train_dataloader', 'val_dataloader'):
            cfg[loader].dataset = dict(type='DigitsNamed', size=8, classes=OTHERS[kind])
        with pytest.raises(ConfigError, match='iter_2.pth.*init_cfg'):
            train(cfg, str(trained) if resume else None)
    assert not list(tmp_path.glob('*.pth'))


def test_a_checkpoint_of_the_same_classes_is_trained_on(trained, tmp_path):
    train(short(tmp_path, load_from=str(trained)))
    assert (tmp_path / 'iter_2.pth').is_file()


def test_a_checkpoint_of_a_run_is_evaluated_by_its_names(trained, pictures, tmp_path):
    contents = torch.load(trained, weights_only=False)
    expected = evaluate(folder_config(pictures, tmp_path), trained)
    order = [*range(9, -1, -1)]
    for name, x in contents['state_dict'].items():
        if name.startswith('head.') and len(x) == 10:
            contents['state_dict'][name] = x[order]
    contents['meta']['dataset_meta']['classes'] = tuple(NAMES[i] for i in order)
    torch.save(contents, tmp_path / 'turned.pth')
    assert evaluate(folder_config(pictures, tmp_path), tmp_path / 'turned.pth') == expected


def test_a_head_of_another_size(tmp_path):
    class Network:
        class head:
            num_classes = 9

    with pytest.raises(ConfigError, match='model.head.num_classes = 9.*10'):
        check_classes(Network, Digits(size=8), 'the test data')
    cfg = short(tmp_path)
    cfg.model.head.num_classes = 9
    with pytest.raises(ConfigError, match='num_classes = 9.*train_dataloader.* 10'):
        train(cfg)


def test_every_pair_is_compared():
    lists = dict(train=['a', 'b'], val=['a', 'b'], weights=['b', 'a'])
    for order in itertools.permutations(lists):
        names = ClassNames()
        with pytest.raises(ConfigError, match='weights'):
            for where in order:
                names.add(None, 'a data set without names')
                names.add(lists[where], where)
    assert doctest.testmod(loaders, optionflags=doctest.IGNORE_EXCEPTION_DETAIL | doctest.ELLIPSIS).failed == 0


@pytest.mark.parametrize('dataset', [dict(type='Digits'), dict(type='ImageFolder', classes=['x']), None, 5])
def test_classes_are_set_where_folders_tell_them(dataset):
    cfg = Config(dict(test_dataloader=dict(dataset=dataset)))
    before = cfg.to_dict()
    set_classes(cfg, 'test_dataloader', ['a', 'b'])
    set_classes(cfg, 'val_dataloader', ['a', 'b'])
    assert cfg.to_dict() == before
    cfg = Config(dict(test_dataloader=dict(dataset=dict(type='ImageNet'))))
    set_classes(cfg, 'test_dataloader', ['a', 'b'])
    assert cfg.test_dataloader.dataset.classes == ['a', 'b']
