"""Files that a user named: what may be replaced, and what is refused before the work begins."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub import files
from a2sg_zoo.hub.files import check_output, check_output_folder, is_leftover, mark, write_output
from tests.hub.misbehaving import small_disk  # noqa: F401

PICTURE = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
CONTENTS = {
    'result.json': {'top1': 78.0},
    'report.md': '# Report\n',
    'page.html': '<p>Report</p>',
    'chart.svg': '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    'runs.csv': 'run,top1\na,78.0\n',
    'cat.png': PICTURE,
}


@pytest.mark.parametrize('name', CONTENTS)
def test_the_same_tool_replaces_its_result(tmp_path, name):
    path = tmp_path / 'new' / 'folder' / name
    assert write_output(CONTENTS[name], path, 'test') == path
    first = path.read_bytes()
    assert write_output(CONTENTS[name], path, 'test') == path
    assert path.read_bytes() == first and os.listdir(path.parent) == [name]


@pytest.mark.parametrize('tool', ['predict', 'tes', 'test2', 't.st'])
@pytest.mark.parametrize('name', [name for name in CONTENTS if name != 'runs.csv'])
def test_another_tool_does_not(tmp_path, name, tool):
    path = write_output(CONTENTS[name], tmp_path / name, 'test')
    old = path.read_bytes()
    for attempt in (lambda: check_output(path, tool), lambda: write_output(CONTENTS[name], path, tool)):
        with pytest.raises(ConfigError, match=name):
            attempt()
    assert path.read_bytes() == old


OTHERS = {
    'iter_30.bin': b'PK\x03\x04 a checkpoint',
    'notes.md': b'a2sg_zoo test gave 78.0\n',
    'quote.md': b'<!-- made by a2sg_zoo test -->\nand my own notes below\n',
    'list.json': b'[1, 2]',
    'data.json': b'{"top1": 78.0, "made_by": "a2sg_zoo test"}',  # not the first key: not as we write it
    'cut.json': b'{"made_by": "a2sg_zoo tes',
    'photo.png': b'\x89PNG\r\n\x1a\n' + b'\0' * 99,
    'photo.jpg': b'\xff\xd8\xff\xe0 Software\0a2sg_zoo test',
    'runs.csv': b'name,age\n',
    'zeros': bytes(10_000),
}


@pytest.mark.parametrize('name', OTHERS)
def test_no_file_of_somebody_else_is_replaced(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(OTHERS[name])
    contents = 'run,top1\n' if name.endswith('.csv') else {'top1': 1.0}
    with pytest.raises(ConfigError, match=name):
        write_output(contents, path, 'test')
    assert path.read_bytes() == OTHERS[name] and os.listdir(tmp_path) == [name]


def test_a_table_with_another_head_of_the_same_tool_is_replaced(tmp_path):
    path = write_output('run,top1,gap\n', tmp_path / 'runs.csv', 'test')
    with pytest.raises(ConfigError, match='runs.csv'):
        write_output('run,top1\n', path, 'test', heads=['run,age'])
    write_output('run,top1\n', path, 'test', heads=['run,top1,gap'])
    assert path.read_text() == 'run,top1\n'


def test_a_picture_that_was_saved_by_another_program_is_not_ours(tmp_path):
    path = write_output(PICTURE, tmp_path / 'cat.png', 'predict')
    Image.open(path).save(path)
    with pytest.raises(ConfigError, match='cat.png'):
        write_output(PICTURE, path, 'predict')


def test_pictures_keep_their_mode_and_pixels(tmp_path):
    for mode, array in (('P', np.uint8), ('I;16', np.uint16), ('RGB', None)):
        image = Image.fromarray(np.arange(64, dtype=array).reshape(8, 8)) if array else PICTURE.convert('RGB')
        if mode == 'P':
            image = image.convert('P')
            image.putpalette(list(range(256)) * 3)
        path = write_output(image, tmp_path / 'mask.png', 'predict')
        with Image.open(path) as found:
            assert found.mode == mode and found.info['Software'] == mark('predict')
            assert np.array_equal(np.asarray(found), np.asarray(image))
        write_output(image, path, 'predict')


def test_bytes_need_the_mark(tmp_path):
    marked = write_output(PICTURE, tmp_path / 'a.png', 'analyze').read_bytes()
    write_output(marked, tmp_path / 'b.png', 'analyze')
    with pytest.raises(ValueError, match='b.png'):
        write_output(b'no mark', tmp_path / 'b.png', 'analyze')
    assert (tmp_path / 'b.png').read_bytes() == marked


def test_numbers_that_are_not_finite_become_null(tmp_path):
    path = write_output({'mIoU': float('nan'), 'more': [1.5, {'x': float('-inf')}]}, tmp_path / 'r.json', 'test')
    assert json.loads(path.read_text()) == {'made_by': mark('test'), 'mIoU': None, 'more': [1.5, {'x': None}]}


def test_an_empty_file_may_be_replaced(tmp_path):
    path = tmp_path / 'r.json'
    path.touch()
    assert check_output(path, 'test') == path
    write_output({'a': 1}, path, 'test')
    assert json.loads(path.read_text())['a'] == 1


@pytest.mark.parametrize(
    'name',
    [
        '.',
        'file/below',
        'iter_30.pth',
        'weights.safetensors',
        'x' * 300 + '.json',
        'a\0b',
        'loop',
        'fifo',
        '/dev/null',
        '/proc/x/y.json',
        '~nobody-here/r.json',
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(tmp_path, name):
    (tmp_path / 'file').write_text('')
    os.symlink(tmp_path / 'loop', tmp_path / 'loop')
    os.mkfifo(tmp_path / 'fifo')
    path = name if name.startswith('~') else tmp_path / name
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ConfigError, match='.'):
        check_output(path, 'test')
    with pytest.raises(ConfigError, match='.'):
        write_output({'a': 1}, path, 'test')
    assert sorted(os.listdir(tmp_path)) == before


def test_a_check_leaves_no_trace(tmp_path):
    check_output(tmp_path / 'a' / 'b' / 'r.json', 'test')
    check_output_folder(tmp_path / 'c' / 'd', 'predict')
    assert os.listdir(tmp_path) == []


def test_a_folder_for_results(tmp_path):
    (tmp_path / 'file').write_text('')
    assert check_output_folder(tmp_path, 'predict') == tmp_path
    for name in ('file', 'file/below', 'a\0b'):
        with pytest.raises(ConfigError, match='predict'):
            check_output_folder(tmp_path / name, 'predict')


def test_a_symbolic_link_is_followed_and_kept(tmp_path):
    (tmp_path / 'photo.json').write_text('{"mine": 1}')
    os.symlink(tmp_path / 'photo.json', tmp_path / 'link.json')
    with pytest.raises(ConfigError, match='link.json'):
        write_output({'a': 1}, tmp_path / 'link.json', 'test')
    os.symlink(tmp_path / 'folder' / 'r.json', tmp_path / 'new.json')
    write_output({'a': 1}, tmp_path / 'new.json', 'test')
    assert (tmp_path / 'new.json').is_symlink() and json.loads((tmp_path / 'folder' / 'r.json').read_text())['a'] == 1


def test_a_long_name_that_the_file_system_takes(tmp_path):
    for name in ('x' * 255, 'é' * 127, '\U0001f600' * 63):
        assert write_output({'a': 1}, tmp_path / name, 'test').name == name


def test_a_full_disk_leaves_the_old_result(small_disk):  # noqa: F811
    path = write_output({'a': 1}, small_disk / 'r.json', 'test')
    with pytest.raises(ConfigError, match='r.json.*MB'):
        write_output({'a': 'x' * 500_000}, path, 'test')
    assert json.loads(path.read_text())['a'] == 1 and os.listdir(small_disk) == ['r.json']


@pytest.mark.parametrize('call', ['replace', 'fsync'])
def test_a_failure_at_any_point_leaves_the_old_result(tmp_path, monkeypatch, call):
    path = write_output({'a': 1}, tmp_path / 'r.json', 'test')

    def fails(*args):
        raise OSError(5, 'Input/output error')

    monkeypatch.setattr(files.os, call, fails)
    with pytest.raises(ConfigError, match='r.json'):
        write_output({'a': 2}, path, 'test')
    assert json.loads(path.read_text())['a'] == 1 and os.listdir(tmp_path) == ['r.json']


def test_leftovers_are_told_from_files(tmp_path):
    assert is_leftover(tmp_path / '.card.md.123.writing')
    assert not is_leftover(tmp_path / 'card.md') and not is_leftover(tmp_path / 'my.writing')


def test_names_that_are_not_utf8_come_back_from_json(tmp_path):
    name = b'caf\xe9.jpg'.decode(errors='surrogateescape')
    path = write_output(dict(input=name), tmp_path / 'x.json', 'test')
    assert json.loads(path.read_bytes())['input'] == name
