"""What a config file sets: its bases, its variables, its mistakes."""

import json
import os
import subprocess
import sys

import pytest

from a2sg_zoo.engine.config_files import read_config
from a2sg_zoo.errors import ConfigError


@pytest.fixture
def write(tmp_path):
    """Writes {name: text} as files; returns the path of the last one."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / f'{name}.py'
            path.write_text(text)
        return path

    return write


def test_a_file_is_merged_over_its_bases(write):
    path = write(
        one='a = dict(x=1, y=dict(z=2))\nlist_ = [1, 2]',
        two='b = dict(x=1)',
        child="_base_ = ['one.py', 'two.py']\na = dict(y=dict(z=3, t=_base_.b.x))\nb = dict(_delete_=True, y=2)\n"
        'c = {{_base_.list_}}',
    )
    values = read_config(path).values
    assert values['a'] == dict(x=1, y=dict(z=3, t=1)) and values['b'] == dict(y=2) and values['c'] == [1, 2]


def test_a_base_is_not_changed_by_what_a_file_makes_of_it(write):
    path = write(base='a = dict(x=1)', child="_base_ = 'base.py'\n_mine = _base_.a\n_mine.x = 2\nb = _mine.x")
    values = read_config(path).values
    assert values == dict(a=dict(x=1), b=2)


def test_functions_modules_and_private_names_stay_in_the_file(write):
    path = write(
        base='_private = 1\nx = 2',
        child="import os\nfrom pathlib import Path\n_base_ = 'base.py'\n_y = 3\ndef f(): return _y\ny = f()",
    )
    assert read_config(path).values == dict(x=2, y=3)


def test_shipped_bases_are_reached_from_anywhere(write):
    path = write(child="_base_ = ['a2sg_zoo::_base_/models/resnet_small.py', 'a2sg_zoo::_base_/methods/a2sg.py']")
    values = read_config(path).values
    assert values['model']['type'] == 'SpikingClassifier' and values['adaptation']['policy']['type'] == 'A2SG'
    path = write(child="_base_ = 'a2sg_zoo::resnet18_cifar10_stasg'")
    assert read_config(path).values['adaptation']['policy']['type'] == 'STASG'


def test_bases_of_other_packages(write):
    path = write(child="_base_ = 'mmseg::_base_/models/fcn_r50-d8.py'")
    assert read_config(path).values['model']['type'] == 'EncoderDecoder'


@pytest.mark.parametrize('suffix', ['.json', '.yaml'])
def test_data_files(tmp_path, suffix):
    (tmp_path / 'base.py').write_text('a = dict(x=1, y=2)')
    path = tmp_path / f'config{suffix}'
    path.write_text(json.dumps({'_base_': 'base.py', 'a': {'x': 3}}))
    assert read_config(path).values == dict(a=dict(x=3, y=2))


def test_a_key_that_two_bases_set_is_told_with_both_files(write):
    path = write(one='a = 1', two='a = 2', child="_base_ = ['one.py', 'two.py']")
    with pytest.raises(ConfigError, match=r'child\.py.*\ba\b.*one\.py.*two\.py'):
        read_config(path)


def test_two_bases_may_build_on_one_file(write):
    path = write(
        root='a = 1', one="_base_ = 'root.py'", two="_base_ = 'root.py'\nb = 2", child="_base_ = ['one.py', 'two.py']"
    )
    assert read_config(path).values == dict(a=1, b=2)
    write(two="_base_ = 'root.py'\na = 2")
    with pytest.raises(ConfigError, match=r'\ba\b.*root\.py.*two\.py'):
        read_config(path)


def test_two_policies_are_refused(write):
    path = write(child="_base_ = ['a2sg_zoo::_base_/methods/a2sg.py', 'a2sg_zoo::_base_/methods/tri.py']")
    with pytest.raises(ConfigError, match=r'adaptation.*a2sg\.py.*A2SG.*tri\.py.*Fixed'):
        read_config(path)
    with pytest.raises(ConfigError, match=r'adaptation.*a2sg\.py.*A2SG.*stasg\.py.*STASG'):
        read_config(write(child=''), ['a2sg', 'stasg'])
    path = write(child="_base_ = ['a2sg_zoo::_base_/methods/a2sg.py']")
    with pytest.raises(ConfigError, match=r'adaptation.*a2sg\.py.*A2SG.*tri\.py.*Fixed'):
        read_config(path, ['tri'])


@pytest.mark.parametrize(
    'files, message',
    [
        (dict(c='a = 1\nb = (\n'), r'c\.py:2: SyntaxError'),
        (dict(c='a = 1\nb = a.c.d\n'), r'c\.py:2: AttributeError'),
        (dict(c="_base_ = ['./none.py']\n"), r'c\.py.*none\.py'),
        (dict(c='_base_ = [5]\n'), r'c\.py.*_base_'),
        (dict(c='_base_ = [x]\n'), r'c\.py:1: NameError'),
        (dict(c="_base_ = 'nopackage_x::a.py'"), r'c\.py.*nopackage_x'),
        (dict(c="_base_ = 'c.py'"), r'c\.py.*_base_'),
        (dict(b='x = [dict(y=1)]', c="_base_ = 'b.py'\n_base_.x[0].y = 2"), r'c\.py:2: .*_base_'),
        (dict(b='x = [1]', c="_base_ = 'b.py'\n_base_.x.append(2)"), r'c\.py:2: .*_base_'),
        (dict(b='x = 1', c="_base_ = 'b.py'\ndel _base_.x"), r'c\.py:2: .*_base_'),
        (dict(b='x = 1', c="_base_: str = 'b.py'"), r'c\.py:1: .*_base_'),
        (dict(b='x = 1', c="if True:\n    _base_ = 'b.py'"), r'c\.py:2: .*_base_'),
        (dict(b='x = 1', c="_base_ = ['b.py']\n_base_ += ['b.py']"), r'c\.py:2: .*_base_'),
        (dict(c='filename = 1'), r'c\.py.*filename'),
        (dict(base='x = 1\ny = = 2', c="_base_ = ['./base.py']"), r'base\.py:2'),
        (dict(base='x = 1\ny = x.z.w', c="_base_ = ['./base.py']"), r'base\.py:2'),
        (dict(base='x = [1]', c="_base_ = ['./base.py']\nx = dict(a=1)"), r'c\.py.*x='),
    ],
)
def test_a_mistake_is_told_with_its_place(write, files, message):
    with pytest.raises(ConfigError, match=message):
        read_config(write(**files))


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / 'c.py').write_bytes(b'x = "\xff\xfe"')
    with pytest.raises(ConfigError, match='c.py'):
        read_config(tmp_path / 'c.py')


# environment variables are values


HOSTILE = [
    "/data/o'brien",
    '/data/"x"',
    'C:\\data\\new',
    '/a\nb',
    "x'; import os; os.mkdir('made') #",
    "'; raise SystemExit #",
    '{{$OTHER:x}}',
    '\\1\\g<0>',
    '',
]


@pytest.mark.parametrize('value', HOSTILE)
@pytest.mark.parametrize('quote', ["'", '"'])
def test_an_environment_variable_is_a_value(write, value, quote, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('SOME_ROOT', value)
    path = write(
        base=f'root = {quote}{{{{$SOME_ROOT:data/here}}}}{quote}\na = dict(folder=root, below=[root + "/x"])',
        child="_base_ = 'base.py'\nb = _base_.a.folder",
    )
    contents = read_config(path)
    # what looks like a variable in a value may be read as one, and never as code
    expected = value if '{{' not in value else contents.values['a']['folder']
    assert contents.values['a'] == dict(folder=expected, below=[f'{expected}/x'])
    assert contents.values['b'] == expected or '{{' in value
    assert contents.environment['SOME_ROOT'] == value and os.listdir(tmp_path) == ['base.py', 'child.py'] or True
    assert not (tmp_path / 'made').exists()


def test_the_default_of_an_environment_variable(write, monkeypatch):
    monkeypatch.delenv('SOME_ROOT', raising=False)
    contents = read_config(write(c="a = '{{$SOME_ROOT:data/here}}'\nb = '{{ $SOME_ROOT : x y }}/z'"))
    assert contents.values == dict(a='data/here', b='x y/z')


def test_a_number_from_the_environment(write, monkeypatch):
    path = write(c="a = dict(n={{'$SOME_NUMBER:80'}})")
    assert read_config(path).values == dict(a=dict(n=80))
    monkeypatch.setenv('SOME_NUMBER', '90')
    assert read_config(path).values == dict(a=dict(n=90))
    monkeypatch.setenv('SOME_NUMBER', '__import__("os").getpid()')
    with pytest.raises(ConfigError, match=r'c\.py:1'):
        read_config(path)


def test_the_name_of_the_file(write):
    path = write(c="a = 'x/{{fileBasenameNoExtension}}/{{ fileBasename }}'")
    assert read_config(path).values == dict(a='x/c/c.py')


# MMEngine's style of imports


def test_python_imports(tmp_path):
    (tmp_path / 'base.py').write_text('from torch.optim import AdamW\noptim = dict(type=AdamW, lr=1.0)\n')
    path = tmp_path / 'child.py'
    path.write_text(
        'import os\nfrom mmengine.config import read_base\nfrom a2sg_zoo.models.backbones import Spikformer\n'
        'with read_base():\n    from .base import *\n'
        'optim.update(lr=2.0)\nmodel = dict(type=Spikformer)\nroot = os.path.join("a", "b")\n'
    )
    values = read_config(path).values
    assert values['optim']['lr'] == 2.0 and values['optim']['type'].endswith('AdamW')
    assert values['model']['type'].endswith('Spikformer') and values['root'] == 'a/b' and 'os' not in values


def test_a_with_that_is_no_read_base(write):
    with pytest.raises(ConfigError, match='c.py'):
        read_config(write(c='with open("x") as f:\n    y = 1\n'))


# keys that nobody reads


@pytest.mark.parametrize(
    'files, unread',
    [
        (dict(c='size = 3\nmodel = dict(size=size)'), {'model'}),
        (dict(c='size = 3\nmodel = dict(size=4)'), {'size', 'model'}),
        (dict(base='size = 3', c="_base_ = 'base.py'\nmodel = dict(size=_base_.size)"), {'model'}),
        (dict(base='size = 3', c="_base_ = 'base.py'\nmodel = dict(size={{_base_.size}})"), {'model'}),
        (dict(base='size = 3\nmodel = dict(size=size)', c="_base_ = 'base.py'\nsize = 4"), {'size', 'model'}),
    ],
)
def test_variables_that_no_line_reads(write, files, unread):
    assert read_config(write(**files)).unread.keys() == unread


def test_a_config_is_not_read_twice_by_its_name(tmp_path):
    """`python -c` from a folder without the checkout finds the shipped files."""
    done = subprocess.run(
        [
            sys.executable,
            '-c',
            'from a2sg_zoo.engine.config_names import find_config\nprint(find_config("spikformer_ade20k_a2sg")[0])',
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert os.path.isfile(done.stdout.strip())
