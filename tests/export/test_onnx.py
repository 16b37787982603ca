import json

import numpy as np
import pytest
import torch
from mmseg.structures import SegDataSample
from torch import nn

from a2sg_zoo.errors import A2SGError, ConfigError
from a2sg_zoo.export.deployed import Deployed, exportable
from a2sg_zoo.hub.published import Description, build
from a2sg_zoo.models.backbones.qkformer import AcrossBatch
from a2sg_zoo.neurons import ILIF, LIF, Neuron, compute_fused
from a2sg_zoo.registry import NEURONS
from tests.export.networks import CLASSES, classifier, events, pictures, segmentor
from tests.marks import slow_unless
from tests.models.backbones.test_families import FAMILIES

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxscript')
runtime = pytest.importorskip('onnxruntime')
from a2sg_zoo.export.to_onnx import to_onnx  # noqa: E402

QUICK = ('spikformer_cifar', 'resnet18')


def data(deployed, number, seed=5):
    if deployed.takes_pictures:
        return pictures(number, *deployed.input_shape[1:], seed=seed)
    return events(number, *deployed.input_shape[:2], seed=seed)


def run(contents, inputs):
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(contents, options, providers=['CPUExecutionProvider'])
    return session.run(['logits'], {session.get_inputs()[0].name: inputs.numpy()})[0]


def predicted(network, inputs):
    """The network's own answers, one at a time, through its preprocessor."""
    answers = []
    for x in inputs:
        (found,) = network.test_step(dict(inputs=x[None], data_samples=torch.tensor([-1])))
        answers.append(found['logits'].mean(0))
    return torch.stack(answers).detach().numpy()


@pytest.mark.parametrize('name', slow_unless(FAMILIES, QUICK))
def test_every_family_in_onnxruntime(name):
    """A spike that rounding tips over its threshold may change an answer, but hardly any; the others agree."""
    network, description = classifier(name, T=2)
    deployed = Deployed(network, description, (32, 32))
    inputs = data(deployed, 32)
    ours, theirs = predicted(network, inputs), run(to_onnx(deployed, name), inputs)
    spread = ours.std(0).mean()
    assert len(set(ours.argmax(1))) > 2 and spread > 0.05
    close = np.abs(ours - theirs).max(1) < 1e-4 * max(spread, 1)
    assert close.mean() >= 0.9, np.abs(ours - theirs).max(1)
    assert (ours.argmax(1) == theirs.argmax(1))[close].all()


@pytest.mark.parametrize(
    'name', slow_unless(('resnet18', 'vgg_stride', 'e_spikeformer', 'spikformer_cifar'), ('vgg_stride',))
)
def test_in_double_precision(name):
    """By the reference implementation of the operators, which knows float64: no spike differs."""
    from onnx.reference import ReferenceEvaluator

    network, description = classifier(name, T=2)
    deployed = Deployed(network.double(), description, (32, 32))
    inputs = data(deployed, 3)
    inputs = inputs if deployed.takes_pictures else inputs.double()
    model = onnx.load_from_string(to_onnx(deployed, name))
    (theirs,) = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: inputs.numpy()})
    with torch.no_grad():
        x = (inputs.double() - deployed.mean) / deployed.std if deployed.takes_pictures else inputs.transpose(0, 1)
        ours = network.head(network.backbone(x)[-1]).mean(0)
    assert theirs.dtype == np.float64 and ours.std() > 0.05
    np.testing.assert_allclose(theirs, ours.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('flip', [pytest.param(False, marks=pytest.mark.slow), True])
def test_segmentor(flip):
    network, description = segmentor(flip)
    deployed = Deployed(network, description, (48, 32))
    inputs = pictures(3, 48, 32, seed=4)
    theirs = run(to_onnx(deployed, 'segmentor'), inputs)
    # the data sets for segmentation load blue first
    samples = [SegDataSample(metainfo=dict(ori_shape=(48, 32), img_shape=(48, 32))) for _ in inputs]
    found = network.test_step(dict(inputs=list(inputs.flip(1)), data_samples=samples))
    logits = torch.stack([sample.seg_logits.data for sample in found]).detach().numpy()
    assert theirs.shape == (3, 4, 48, 32) and logits.std() > 0.05
    agree = logits.argmax(1) == theirs.argmax(1)
    assert agree.mean() > 0.99 and len(np.unique(logits.argmax(1))) > 1
    assert (np.abs(logits - theirs) < 1e-4).mean() > 0.9


def test_a_mean_over_mirror_images_is_not_dropped_without_a_word():
    network, description = classifier('vgg_stride', T=2)
    network.test_flip = True
    with pytest.raises(ConfigError, match='test_cfg.flip'):
        Deployed(network, description)


@pytest.mark.parametrize('kind', ['RecurrentSNN', 'SequenceSpikformer'])
def test_networks_for_sequences_are_refused_by_name(kind):
    sizes = dict(widths=(4,)) if kind == 'RecurrentSNN' else dict(embed_dims=4, depth=1, num_heads=2)
    model = dict(
        type='SpikingClassifier',
        backbone=dict(type=kind, in_features=2, T=3, time='keep', **sizes),
        head=dict(type='LinearHead', in_channels=4, num_classes=4),
    )
    with pytest.raises(ConfigError, match=f'{kind}.*sequences'):
        Deployed(build(model, 'test'), Description('classification', model, CLASSES, {}, []), (8, 8))


def test_metadata_and_batch():
    network, description = classifier('vgg_stride', T=2, in_channels=3)
    contents = to_onnx(Deployed(network, description), 'configs/some.py')
    model = onnx.load_from_string(contents)
    found = {item.key: json.loads(item.value) for item in model.metadata_props}
    assert found['classes'] == description.classes and found['T'] == 2 and found['name'] == 'configs/some.py'
    assert found['input'] == '(batch, 3, 32, 32): uint8, 0..255, red first' and found['resize'] == dict(size=32)
    assert not [node for node in model.graph.node if node.op_type == 'BatchNormalization']
    inputs = pictures(7, seed=2)
    together = run(contents, inputs)
    np.testing.assert_allclose(np.concatenate([run(contents, x[None]) for x in inputs]), together, atol=1e-5)


def test_time_steps_of_the_prediction():
    """`test_cfg` of a classifier says with how many it predicts."""
    network, description = classifier('vgg_stride', T=3, in_channels=3)
    network.test_T = 1
    inputs = pictures(4, seed=2)
    deployed = Deployed(network, description)
    assert deployed.T == 1 and network.backbone.T == 3
    ours = predicted(network, inputs)
    np.testing.assert_allclose(deployed(inputs).detach().numpy(), ours, atol=1e-4)
    network.test_T = 3
    assert np.abs(predicted(network, inputs) - ours).max() > 0.01


NEURON_CONFIGS = [
    dict(type=kind, reset=reset, v_reset=v_reset, **leak)
    for kind, leak in (
        ('IF', {}),
        ('LIF', dict(tau=3.0)),
        ('LIF', dict(tau=1.6, decay_input=False)),
        ('PLIF', dict(tau=2.5)),
        ('PLIF', dict(tau=2.5, decay_input=False)),
    )
    for reset in ('hard', 'soft')
    for v_reset in (0.0, -0.4)
]
OTHERS = [
    dict(type='ILIF', levels=3, decay=0.5),
    *(dict(type=kind) for kind in ('ALIF', 'SynapticLIF', 'QIF', 'EIF', 'Izhikevich', 'KLIF', 'CLIF', 'SlidingPSN')),
    *(dict(type=kind, T=6) for kind in ('GLIF', 'PSN', 'MaskedPSN')),
    *(dict(type='Recurrent', neuron=dict(type=kind), features=50) for kind in ('LIF', 'ALIF')),
]


@pytest.mark.parametrize('config', [*NEURON_CONFIGS, *OTHERS], ids=str)
def test_exportable_neurons(config):
    """The same spikes as their own forward passes, and their own again afterwards."""
    neuron = NEURONS.build(config).double().eval()
    x = 3 * torch.randn(6, 2, 50, dtype=torch.float64)
    own = neuron(x)
    with exportable(neuron):
        plain = neuron(x)
        # a tracer sees plain operations alone
        with torch.no_grad():
            graph = torch.export.export(neuron, (x,)).graph
    assert torch.equal(own, plain) and 0 < own.mean() < 1
    assert not any('autograd' in str(node.target).lower() for node in graph.nodes)
    assert getattr(neuron, 'backend', compute_fused) is compute_fused


def test_exportable_after_a_failure():
    network = nn.Sequential(LIF(), ILIF(), AcrossBatch(LIF()))
    with pytest.raises(KeyError), exportable(network):
        raise KeyError
    assert network[0].backend is network[2].neuron.backend is compute_fused and not network[2].each_alone


def test_samples_alone():
    """What runs on from sample to sample in a batch is exported as in a batch of one."""
    layer = AcrossBatch(LIF())
    x = 2 * torch.rand(3, 4, 9)
    with exportable(layer):
        together = layer(x)
    assert torch.equal(together, torch.cat([layer(x[:, i : i + 1]) for i in range(4)], 1))
    assert not torch.equal(together, layer(x))


def test_neurons_of_the_users_own_keep_their_forward():
    class Loud(Neuron):
        def forward(self, x):
            return torch.ones_like(x)

    neuron = Loud()
    with exportable(neuron):
        assert neuron(torch.zeros(2, 3)).all()


def test_mistakes():
    network, description = classifier('vgg_stride', T=2)
    with pytest.raises(ConfigError, match='--size'):
        Deployed(network, description)
    with pytest.raises(ConfigError, match='0 x 0'):
        Deployed(network, description, (0, 0))
    network, description = segmentor()
    with pytest.raises(ConfigError, match=r'\b16\b.*40 x 32'):
        Deployed(network, description, (40, 32))
    network.data_preprocessor.test_cfg = dict(size=(64, 32))
    with pytest.raises(ConfigError, match=r'test_cfg\.size .*64 x 32.*48 x 32'):
        Deployed(network, description, (48, 32))
    network.test_cfg = dict(mode='slide', crop_size=(32, 32), stride=(16, 16))
    with pytest.raises(ConfigError, match=r'test_cfg\.mode'):
        Deployed(network, description, (64, 32))

    class Stubborn(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    network, description = classifier('vgg_stride', T=1, in_channels=3)
    network.head.layers.append(Stubborn())
    with pytest.raises(A2SGError, match='tiny'):
        to_onnx(Deployed(network, description), 'tiny')
