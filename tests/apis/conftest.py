"""Small published weights, a folder of pictures, and a server of them."""

import pytest
import torch
from PIL import Image

import a2sg_zoo
from tests.apis.pictures import photo
from tests.hub.misbehaving import server  # noqa: F401
from tests.hub.tiny import publish


@pytest.fixture
def weights(request, tmp_path, monkeypatch):
    """(network as it is loaded, path of the weights, task); the weights are `tiny` in the zoo."""
    torch.manual_seed(1)
    (tmp_path / 'zoo').mkdir()
    _, path, index = publish(tmp_path / 'zoo', task=request.param)
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(index))
    return a2sg_zoo.get_model('tiny'), path, request.param


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / 'pictures'
    path.mkdir()
    for i, size in enumerate([(32, 32), (32, 32), (40, 56)]):
        Image.fromarray(photo(i, *size)).save(path / f'{i}.png')
    (path / 'notes.txt').write_text('no picture')
    return path
