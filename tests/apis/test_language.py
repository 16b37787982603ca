"""Texts that a language model continues, from Python and from the command line."""

import json

import pytest
import torch

import a2sg_zoo
from a2sg_zoo.cli import main
from a2sg_zoo.datasets.text import SYMBOL_NAMES
from a2sg_zoo.errors import ConfigError, DataError, NonFiniteError
from a2sg_zoo.hub import published
from a2sg_zoo.hub.description import Description
from a2sg_zoo.models.language import LanguageModel
from tests.cli.mistakes import mistake


def write(path, symbols=256):
    """A weight file of a network that knows nothing."""
    torch.manual_seed(0)
    config = dict(
        type='LanguageModel',
        backbone=dict(type='SpikeGPT', embed_dims=16, depth=1, num_heads=2, T=8, vocabulary=symbols),
        head=dict(type='LanguageHead', in_channels=16, num_classes=symbols),
    )
    weights = LanguageModel(config['backbone'], config['head']).state_dict()
    published.save(weights, Description('language', config, list(SYMBOL_NAMES[:symbols]), {}, []), path)
    return path


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    return write(tmp_path_factory.mktemp('weights') / 'text.safetensors')


def test_text_of_a_seed(weights):
    generator = a2sg_zoo.TextGenerator(weights, 'cpu')
    first = generator('Python', length=40, seed=1)
    assert generator('Python', length=40, seed=1) == first != generator('Python', length=40, seed=2)
    assert ''.join(generator.stream('Python', length=40, seed=1)) == first and first
    # the bytes are those of the network
    symbols = list(generator.model.generate(list(b'Python'), 40, 0.8, 1))
    assert bytes(symbols).decode(errors='replace') == first
    assert generator('Python', length=8, temperature=0) == generator('Python', length=8, temperature=0)


def test_a_character_of_several_bytes_comes_in_one_piece(weights, monkeypatch):
    generator = a2sg_zoo.TextGenerator(weights, 'cpu')
    monkeypatch.setattr(generator.model, 'generate', lambda *args: iter('é€'.encode() + b'\xe2'))
    assert [piece for piece in generator.stream('x') if piece] == ['é', '€', '\ufffd']


def test_prompts_that_cannot_be_read(weights, tmp_path):
    generator = a2sg_zoo.TextGenerator(weights, 'cpu')
    for prompt in ('', None, 3):
        with pytest.raises(DataError, match='prompt'):
            generator(prompt)
    with pytest.raises(DataError, match=r'prompt.*udc80'):
        generator('a\udc80')
    ascii_alone = a2sg_zoo.TextGenerator(write(tmp_path / 'ascii.safetensors', 128), 'cpu')
    assert len(ascii_alone('a', length=3)) == 3
    with pytest.raises(DataError, match='prompt.*€'):
        ascii_alone('a€')
    with pytest.raises(ConfigError, match='temperature'):
        generator('a', temperature=-1)


def test_a_network_that_is_not_finite(weights):
    generator = a2sg_zoo.TextGenerator(weights, 'cpu')
    generator.model.head.linear.bias.data.fill_(torch.nan)
    with pytest.raises(NonFiniteError):
        generator('a')


def test_command_line(weights, tmp_path, capsys):
    main(['predict', str(weights), '--prompt', 'Python', '--length', '30', '--seed', '1', '--out', str(tmp_path)])
    said = capsys.readouterr().out
    (found,) = json.loads((tmp_path / 'results.json').read_text())['predictions']
    assert found['prompt'] == 'Python' and found['text'] == a2sg_zoo.TextGenerator(weights, 'cpu')('Python', 30, seed=1)
    assert said.startswith('Python') and '\x1b' not in said


@pytest.mark.parametrize(
    'arguments, key',
    [
        (['--prompt', ''], 'prompt'),
        (['--prompt', 'a\udc80'], 'prompt'),
        (['--prompt', 'a', '--length', '0'], '--length'),
        (['--prompt', 'a', '--temperature', '-1'], 'temperature'),
        (['--prompt', 'a', '--temperature', 'nan'], 'temperature'),
        (['--prompt', 'a', '--seed', '-1'], '--seed'),
        (['--prompt', 'a', 'cat.jpg'], '--prompt'),
        (['cat.jpg'], '--prompt'),
        ([], '--prompt'),
    ],
)
def test_mistakes_of_a_command(weights, arguments, key, capsys):
    assert key in mistake(capsys, 'predict', str(weights), *arguments)


def test_a_prompt_for_a_network_of_pictures(capsys):
    said = mistake(capsys, 'predict', 'resnet_small_digits_tri', '--prompt', 'a')
    assert 'resnet_small_digits_tri' in said and 'classification' in said
