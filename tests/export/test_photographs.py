"""ONNX in onnxruntime and NIR in SpikingJelly against ours, float32 as deployed, on photographs (CIFAR-10)."""

import io

import numpy as np
import pytest
import torch

from a2sg_zoo.export import Deployed, to_nir, to_onnx
from a2sg_zoo.export.check import _quiet
from a2sg_zoo.export.to_nir import to_bytes
from a2sg_zoo.neurons import Neuron
from tests.export.networks import classifier, photographs
from tests.export.test_nir import spikes_of
from tests.export.test_onnx import predicted, run

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


@pytest.mark.parametrize('name', NAMES)
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
