"""Metafiles are those of OpenMMLab's layout, and say what the index says."""

from pathlib import Path

import pytest
import yaml

from a2sg_zoo.engine.config import load_config
from a2sg_zoo.engine.config_names import find_config
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.index import SHIPPED, Entry, read_index
from a2sg_zoo.publishing.metafiles import FAMILIES, metafiles

ROOT = Path(__file__).resolve().parents[2]


def read(path):
    return yaml.safe_load((ROOT / path).read_text())


@pytest.fixture(scope='module')
def collections():
    """{folder: metafile}, by way of the list at the root, as OpenMMLab's tools find them."""
    return {Path(path).parent.name: read(path) for path in read('model-index.yml')['Import']}


def test_every_family_has_one(collections):
    folders = {path.parent.name for path in (ROOT / 'configs').glob('*/README.md')}
    assert set(collections) == folders == set(FAMILIES)
    for folder, metafile in collections.items():
        (collection,) = metafile['Collections']
        assert (ROOT / collection['README']).parent.name == folder and (ROOT / collection['README']).is_file()
        assert collection['Paper']['URL'].startswith('https://arxiv.org/abs/') and collection['Paper']['Title']
        assert collection['Metadata']['Architecture']


def test_every_pretrained_network_is_in_one(collections):
    found = {model['Name']: (folder, model) for folder, metafile in collections.items() for model in metafile['Models']}
    entries = read_index(SHIPPED)
    assert found.keys() == entries.keys()
    for name, (folder, model) in found.items():
        entry = entries[name]
        assert model['In Collection'] == collections[folder]['Collections'][0]['Name']
        assert find_config(entry['config'])[0].samefile(ROOT / model['Config'])
        assert (ROOT / model['Config']).parent.name in (folder, 'configs')  # an alias stands in no folder
        assert load_config(ROOT / model['Config']).model.backbone.type == entry['model']['backbone']['type']
        assert (ROOT / model['Weights']).samefile(entry.shipped) and (ROOT / model['README']).is_file()
        assert model['Metadata']['Parameters'] == entry['parameters'] and model['Metadata']['Time Steps'] == entry['T']
        (result,) = model['Results']
        assert result['Task'] in ('Image Classification', 'Semantic Segmentation', 'Language Modelling')
        assert result['Metrics'] and set(result['Metrics'].values()) <= set(entry['metrics'].values())


def entry(config, location):
    shipped = next(iter(read_index(SHIPPED).values()))
    return Entry('net', {**shipped.facts, 'config': config, 'location': location}, SHIPPED)


def test_weights_at_another_place_and_a_config_in_no_folder():
    location = 'https://host/net.safetensors'
    files = metafiles({'net': entry('configs/spikformer_ade20k_a2sg.py', location)})
    (model,) = yaml.safe_load(files['configs/spikformer/metafile.yml'])['Models']
    assert model['Weights'] == location and model['Config'] == 'configs/spikformer_ade20k_a2sg.py'


def test_a_config_that_is_not_shipped(tmp_path):
    (tmp_path / 'mine.py').write_text('')
    for config in ('configs/nonsense.py', str(tmp_path / 'mine.py')):
        with pytest.raises(ConfigError, match=Path(config).stem):
            metafiles({'net': entry(config, 'https://host/net.safetensors')})
