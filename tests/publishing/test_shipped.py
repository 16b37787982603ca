"""The shipped zoo: its cards, configs, recipes and figures agree."""

import argparse
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest

from a2sg_zoo.datasets.text import embedded_text
from a2sg_zoo.engine.arguments import add_config_arguments, add_options_argument
from a2sg_zoo.engine.config import load_config
from a2sg_zoo.hub.describing import describe
from a2sg_zoo.hub.index import SHIPPED, read_index
from a2sg_zoo.hub.published import build, read
from a2sg_zoo.neurons import named_neurons
from a2sg_zoo.publishing.generated import check

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize('entry', [pytest.param(entry, id=name) for name, entry in read_index(SHIPPED).items()])
def test_the_hub_understands_the_shipped_cards(entry):
    found = huggingface_hub.ModelCard.load(ROOT / 'model_cards' / f'{entry.name}.md')
    assert found.data.model_name == entry.name and found.data.license == 'apache-2.0'
    assert found.data.pipeline_tag == dict(language='text-generation').get(entry['task'], f'image-{entry["task"]}')
    assert {result.metric_name: result.metric_value for result in found.data.eval_results} == entry['metrics']
    assert {result.dataset_type for result in found.data.eval_results} == {entry['data']['id']}


@pytest.mark.parametrize('entry', [pytest.param(entry, id=name) for name, entry in read_index(SHIPPED).items()])
def test_the_shipped_weights_say_what_their_configs_say(entry):
    description = read(entry.shipped)[1]
    meta = dict(classes=description.classes, palette=description.palette)
    found = describe(load_config(ROOT / entry['config']), meta, entry['config'])
    # a config may leave the neuron to the backbone's default, and its backward pass is not the weights' affair
    dynamics = [
        {
            tuple(getattr(neuron, key, None) for key in ('tau', 'decay_input', 'v_threshold', 'v_reset', 'reset'))
            for neuron in named_neurons(build(d.model, '')).values()
        }
        for d in (found, description)
    ]
    assert dynamics[0] == dynamics[1]
    for part in ('backbone', 'head'):
        for d in (found, description):
            d.model.get(part, {}).pop('neuron', None)
    assert found == description and (description.resize or entry['task'] == 'language')


@pytest.mark.parametrize('entry', [pytest.param(entry, id=name) for name, entry in read_index(SHIPPED).items()])
def test_the_shipped_recipes_are_those_of_their_configs(entry):
    """What the index says of the training, against the config and the variable that its data set's file names."""
    cfg, recipe = load_config(ROOT / entry['config']), entry['recipe']
    optimizer = cfg.optim_wrapper.optimizer
    assert recipe['optimizer'].partition(',')[0] == optimizer.type and recipe['learning_rate'] == optimizer.lr
    words = shlex.split(recipe['command'])
    processes = int(words[words.index('--nproc-per-node') + 1]) if '--nproc-per-node' in words else 1
    assert recipe['batch_size'] == cfg.train_dataloader.batch_size * processes
    assert recipe.get('variable') == dict(cifar10='CIFAR10_FOLDER', camvid='CAMVID_ROOT').get(entry['data']['id'])
    part = re.search('for the test, the first ([0-9]+) of the [0-9,]+ of each class', entry['data']['about'])
    parser = argparse.ArgumentParser()
    add_config_arguments(parser)
    add_options_argument(parser)
    args, _ = parser.parse_known_args(shlex.split(recipe['evaluation'])[2:])
    dataset = load_config(ROOT / args.config, args.cfg_options, methods=args.method).test_dataloader.dataset
    assert dataset.get('per_class') == (part and (0, int(part[1])))


def test_the_shipped_zoo_is_in_order(monkeypatch):
    monkeypatch.delenv('A2SG_ZOO_INDEX', raising=False)
    assert check(read_index(SHIPPED), ROOT / 'model_cards', ROOT) == []


def _shipped():
    """Shipped entries; those on data that one has to bring are slow."""
    for entry in read_index(SHIPPED).values():
        own = entry['data']['id'] != 'digits'
        yield pytest.param(entry, marks=[pytest.mark.slow] if own else [], id=entry.name)


@pytest.mark.parametrize('entry', list(_shipped()))
def test_shipped_weights_score_what_their_cards_say(entry, tmp_path):
    needed = dict(cifar10='CIFAR10_FOLDER', camvid='CAMVID_ROOT').get(entry['data']['id'])
    if needed and not os.environ.get(needed):
        pytest.skip(f'{needed} is not set; it names the folder of {entry["data"]["name"]}')
    if entry['task'] == 'language':
        checksum = hashlib.sha256(embedded_text().encode()).hexdigest()
        if checksum not in entry['data']['about']:
            pytest.skip('this version of Python comes with another text')
    tool, *arguments = shlex.split(entry['recipe']['evaluation'])[1:]
    env = {key: value for key, value in os.environ.items() if key != 'A2SG_ZOO_INDEX'}
    done = subprocess.run(
        [sys.executable, tool, *arguments[:2], '--work-dir', tmp_path, '--out', tmp_path / 'x.json', *arguments[2:]],
        cwd=ROOT,
        env={**env, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
    )
    assert done.returncode == 0
    # another processor rounds otherwise, which may flip a spike and so the class of a few images
    assert json.loads((tmp_path / 'x.json').read_text())['metrics'] == pytest.approx(entry['metrics'], abs=0.6)
