"""ONNX in onnxruntime and NIR in SpikingJelly against ours, float32 as deployed, on real pictures: random networks of
several families, and the trained ones that are shipped."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from a2sg_zoo.datasets import Digits
from a2sg_zoo.export import Deployed, to_nir, to_onnx
from a2sg_zoo.export.check import _quiet, compare
from a2sg_zoo.export.source import load
from a2sg_zoo.export.to_nir import to_bytes
from a2sg_zoo.hub.index import SHIPPED as SHIPPED_INDEX
from a2sg_zoo.hub.index import read_index
from a2sg_zoo.neurons import Neuron
from tests.export.networks import classifier, photographs
from tests.export.test_nir import spikes_of
from tests.export.test_onnx import predicted, run, slow_unless

NAMES = {'vgg_stride': dict(in_channels=3), 'resnet18': {}, 'sew_add': {}}


@pytest.fixture
def photos(shared):
    return photographs(shared('data', 'cifar10_jpeg.tar.xz'), 96)


def mostly_equal(ours, theirs):
    """At most one picture in ten has a spike tipped over by rounding; the labels of the others agree."""
    assert ours.std(0).min() > 0.05 and len(set(ours.argmax(1))) > 2
    close = np.abs(ours - theirs).max(1) < 1e-4
    assert close.mean() >= 0.9
    assert (ours.argmax(1) == theirs.argmax(1))[close].all()


@pytest.mark.parametrize('name', slow_unless(NAMES, ('vgg_stride',)))
def test_onnx(name, photos):
    network, description = classifier(name, T=4, data=photos[:32], **NAMES[name])
    mostly_equal(predicted(network, photos[32:]), run(to_onnx(Deployed(network, description), name), photos[32:]))


@pytest.mark.parametrize('name', NAMES)
def test_nir(name, photos):
    nir = pytest.importorskip('nir')
    exchange = pytest.importorskip('spikingjelly.activation_based.nir_exchange')
    network, description = classifier(name, T=4, data=photos[:32], **NAMES[name])
    deployed = Deployed(network, description)
    with _quiet():
        graph = nir.read(io.BytesIO(to_bytes(to_nir(deployed, name))))
        theirs = exchange.import_from_nir(graph, step_mode='m')
    kind = next(type(m) for m in theirs.modules() if type(m).__name__ == '_NIRStatefulModule')
    own, other = spikes_of(network, Neuron), spikes_of(theirs, kind)
    x = deployed.normalise(photos[32:])
    with torch.no_grad():
        output = theirs(x.expand(4, *x.shape))[0].mean(0).numpy()
        ours = network(x).mean(0).numpy()
    mostly_equal(ours, output)
    for layer, (s,) in own.items():
        counts, found = s.sum(), other[layer.replace('.', '_')][0].sum()
        assert counts > 0 and abs(counts - found) <= 1e-3 * counts, layer


SHIPPED = {
    'resnet_small_digits_tri': ('onnx', 'nir'),
    'resnet19_w16_cifar10_tri': ('onnx', 'nir'),
    'resnet9_cifar10_a2sg': ('onnx',),
    'resnet9_counts_cifar10': ('onnx',),
    'resnet9_hybrid_cifar10_a2sg': ('onnx',),
    'resnet9_hybrid_cifar10_tri': ('onnx',),
    'spikformer_2_128_cifar10_tri': ('onnx',),
    'meta_spikeformer_small_camvid_a2sg': ('onnx',),
    'resnet9_camvid_a2sg': ('onnx',),
}


def test_of_all_that_is_shipped():
    """None that takes pictures is forgotten below."""
    assert SHIPPED.keys() == {name for name, x in read_index(SHIPPED_INDEX).items() if x['task'] != 'language'}


def pictures_for(name, shared):
    """(arrays (H, W, 3), size of the input or None) of the data that a shipped network was trained on."""
    if 'digits' in name:
        return [image.permute(1, 2, 0).numpy() for image in Digits(train=False, size=8).images[:96]], None
    if 'cifar10' in name:
        photos = photographs(shared('data', 'cifar10_jpeg.tar.xz'), 96)
        return list(photos.permute(0, 2, 3, 1).numpy()), None
    with zipfile.ZipFile(shared('data', 'camvid_as_ade20k.zip')) as file:
        files = [x for x in file.namelist() if '/images/validation/' in x and x.endswith('.jpg')][::20]
        return [np.asarray(Image.open(io.BytesIO(file.read(x))).convert('RGB')) for x in files], (256, 320)


@pytest.mark.parametrize(
    'name, kind',
    [
        pytest.param(name, kind, marks=() if 'digits' in name else pytest.mark.slow)
        for name, kinds in SHIPPED.items()
        for kind in kinds
    ],
)
def test_shipped_networks(name, kind, shared):
    """Of all answers hardly any differ, and then by a spike that rounding tipped over."""
    pytest.importorskip('spikingjelly.activation_based.nir_exchange' if kind == 'nir' else 'onnxruntime')
    network, description, _ = load(name)
    images, size = pictures_for(name, shared)
    deployed = Deployed(network, description, size)
    contents = to_bytes(to_nir(deployed, name)) if kind == 'nir' else to_onnx(deployed, name)
    rows = compare(contents, kind, network, deployed, images)
    assert np.mean([row.agreement for row in rows]) >= 0.97, rows
    if deployed.task == 'classification':
        assert np.median([row.difference for row in rows]) < 1e-4
