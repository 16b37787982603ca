"""The names of configs and methods lead to the right files."""

import json
import os
from pathlib import Path

import pytest

from a2sg_zoo.engine.config_names import SHIPPED, find_config, find_method, shipped_configs, shipped_methods
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.index import SHIPPED as INDEX


def test_a_file_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('configs').mkdir()
    for name in ('mine.py', 'configs/spikformer_ade20k_a2sg.py'):
        Path(name).write_text('work_dir = "x"')
        assert find_config(name) == (Path(name), ())


@pytest.mark.parametrize('folder', ['', 'configs/', f'{SHIPPED}/'])
@pytest.mark.parametrize('ending', ['', '.py'])
@pytest.mark.parametrize('methods', [(), ('a2sg',), ('im_loss',), ('a2sg', 'sam'), ('im_loss_shape', 'im_loss', 'sam')])
def test_a_name_is_a_config_and_its_methods(folder, ending, methods, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found, named = find_config(folder + '_'.join(['resnet18_cifar10', *methods]) + ending)
    assert os.path.isfile(found) and found.is_relative_to(SHIPPED)
    # a file of the whole name would have its method inside
    assert [*named] == [*methods] or found.stem == '_'.join(['resnet18_cifar10', *methods])


def test_every_config_of_the_index_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for entry in json.loads(INDEX.read_text())['models'].values():
        find_config(entry['config'])


@pytest.mark.parametrize(
    'name',
    ['none.py', 'configs/none.py', 'a' * 300, '~nobody/x.py', 'a\0b', 'resnet18_cifar10_none', '/none.py', 'x/none.py'],
)
def test_no_such_config(name):
    with pytest.raises(ConfigError):
        find_config(name)


def test_the_nearest_names_are_told():
    with pytest.raises(ConfigError, match='resnet18_cifar10'):
        find_config('resnet18_cifar1O')
    with pytest.raises(ConfigError, match='a2sg'):
        find_method('a2sgg')
    with pytest.raises(ConfigError, match='none.py'):
        find_method('none.py')


def test_methods(tmp_path):
    assert {'a2sg', 'tri', 'sam', 'tet', 'im_loss'} <= {*shipped_methods()}
    assert all(find_method(name).is_file() for name in shipped_methods())
    (tmp_path / 'mine.py').write_text('')
    assert find_method(str(tmp_path / 'mine.py')) == tmp_path / 'mine.py'


def test_no_config_is_named_like_another_with_a_method():
    """Otherwise a name would have two meanings."""
    names = shipped_configs()
    aliases = ('spikformer_ade20k_a2sg', 'spikegpt_small_text_a2sg', 'spikegpt_small_text_tri')
    for name in names:
        for method in shipped_methods():
            longer = f'{name}_{method}'
            assert longer not in names or longer in aliases
