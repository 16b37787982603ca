"""The values of --cfg-options are what was written."""

import argparse

import pytest

from a2sg_zoo.engine.arguments import add_options_argument


@pytest.mark.parametrize(
    'text, value',
    [
        ('/my data/a b', '/my data/a b'),
        ("/data/o'brien x", "/data/o'brien x"),
        ('3', 3),
        ('1e-3', 1e-3),
        ('[1, 2]', [1, 2]),
        ('(8,8)', (8, 8)),
        ('None', None),
        ('True', True),
    ],
)
def test_values(text, value):
    parser = argparse.ArgumentParser()
    add_options_argument(parser)
    assert parser.parse_args(['--cfg-options', f'a.b={text}', 'c=1']).cfg_options == {'a.b': value, 'c': 1}


@pytest.mark.parametrize('word', ['justatext', '=3', 'a=[1,2'])
def test_words_that_are_no_options(word, capsys):
    parser = argparse.ArgumentParser()
    add_options_argument(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', word])
    assert word.strip('=') in capsys.readouterr().err
