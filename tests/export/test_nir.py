import json
import logging
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from a2sg_zoo.errors import A2SGError, ConfigError
from a2sg_zoo.export.deployed import Deployed
from a2sg_zoo.export.to_nir import _Tracer, to_bytes, to_nir
from a2sg_zoo.models.layers import TimeFolded
from a2sg_zoo.neurons import LIF, Neuron
from tests.export.networks import classifier, events, pictures, segmentor
from tests.marks import slow_unless

nir = pytest.importorskip('nir')

# what NIR can say, and the neurons of which
CNNS = {
    'vgg_avg': dict(),
    'vgg_stride': dict(in_channels=3, head=dict(grid=2)),
    'resnet18': dict(head=dict(hidden=12)),
    'resnet19': dict(neuron=dict(type='PLIF', tau=2.3)),
    'sew_add': dict(),
    'resnet18_if': dict(neuron=dict(type='IF', v_reset=-0.2)),
    'resnet18_lif': dict(neuron=dict(type='LIF', tau=1.7, v_reset=-0.2, v_threshold=0.7)),
}


def deploy(name, T=4, **overrides):
    network, description = classifier(name.removesuffix('_if').removesuffix('_lif'), T, **overrides)
    return Deployed(network.double(), description, (32, 32))


def steps(deployed, number):
    """(T, number, ...): what the graph takes at each step."""
    if deployed.takes_pictures:
        x = deployed.normalise(pictures(number, seed=3))
        return x.expand(deployed.T, *x.shape)
    return events(number, *deployed.input_shape[:2], seed=3).double().transpose(0, 1)


def spikes_of(module, kind):
    """{name: list of what its neurons send}, filled as it runs."""
    found = {}
    for name, m in module.named_modules():
        if isinstance(m, kind):
            m.register_forward_hook(
                lambda _, __, y, name=name: found.setdefault(name, []).append(y[0] if isinstance(y, tuple) else y)
            )
    return found


def by_hand(graph, x):
    """A reading of the graph of our own, by the definitions of NIR alone: Euler's method, a step at a time.

    x: (T, B, ...). Returns {node: (T, B, ...)}.
    """
    dt = json.loads(graph.metadata['dt'])
    order, waiting = [], dict(graph.nodes)
    while waiting:
        ready = [n for n in waiting if all(a in order for a, b in graph.edges if b == n)]
        order += ready
        for n in ready:
            del waiting[n]
    v, record = {}, {name: [] for name in order}
    for current in x:
        for name in order:
            node = graph.nodes[name]
            inputs = [record[a][-1] for a, b in graph.edges if b == name]
            i = sum(inputs) if inputs else current

            def tensor(key, node=node):
                return torch.as_tensor(getattr(node, key))

            if isinstance(node, (nir.LIF, nir.IF)):
                before = v.get(name, tensor('v_reset') + torch.zeros_like(i))
                rise = (
                    dt * tensor('r') * i
                    if isinstance(node, nir.IF)
                    else dt / tensor('tau') * (tensor('v_leak') - before + tensor('r') * i)
                )
                u = before + rise
                y = (u >= tensor('v_threshold')).to(u)
                v[name] = torch.where(y > 0, tensor('v_reset'), u)
            elif isinstance(node, nir.Conv2d):
                y = torch.conv2d(
                    i,
                    tensor('weight'),
                    tensor('bias'),
                    tuple(node.stride),
                    tuple(node.padding),
                    tuple(node.dilation),
                    int(node.groups),
                )
            elif isinstance(node, nir.Affine):
                y = i @ tensor('weight').T + tensor('bias')
            elif isinstance(node, nir.AvgPool2d):
                y = nn.functional.avg_pool2d(i, tuple(node.kernel_size), tuple(node.stride), tuple(node.padding))
            elif isinstance(node, nir.Flatten):
                y = i.flatten(1)
            else:
                y = i
            record[name].append(y)
    return {name: torch.stack(ys) for name, ys in record.items()}


def read_back(contents, tmp_path):
    (tmp_path / 'x.nir').write_bytes(contents)
    return nir.read(tmp_path / 'x.nir')


@pytest.mark.parametrize('name', slow_unless(CNNS, list(CNNS)[::3]))
def test_by_the_definitions_of_nir(name, tmp_path):
    deployed = deploy(name, **CNNS[name])
    graph = read_back(to_bytes(to_nir(deployed, name)), tmp_path)
    x = steps(deployed, 6)
    own = spikes_of(deployed.network, Neuron)
    with torch.no_grad():
        ours = deployed.network(x[0] if deployed.takes_pictures else x.transpose(0, 1))
        found = by_hand(graph, x)
    torch.testing.assert_close(found['output'], ours, rtol=1e-10, atol=1e-10)
    assert ours.mean(0).std(0).min() > 0.01
    for layer, (s,) in own.items():
        assert torch.equal(found[layer], s), layer
        assert s.any(), layer


@pytest.mark.parametrize('name', CNNS)
def test_in_spikingjelly(name, tmp_path):
    """Another simulator reads the file, and fires the same spikes."""
    exchange = pytest.importorskip('spikingjelly.activation_based.nir_exchange')
    logging.disable(logging.INFO)
    deployed = deploy(name, **CNNS[name])
    (tmp_path / 'x.nir').write_bytes(to_bytes(to_nir(deployed, name)))
    theirs = exchange.import_from_nir(str(tmp_path / 'x.nir'), dtype=torch.float64, step_mode='m')
    logging.disable(logging.NOTSET)
    x = steps(deployed, 6)
    own = spikes_of(deployed.network, Neuron)
    other = spikes_of(
        theirs,
        type(
            theirs.get_submodule(
                next(name for name, m in theirs.named_modules() if type(m).__name__ == '_NIRStatefulModule')
            )
        ),
    )
    with torch.no_grad():
        ours = deployed.network(x[0] if deployed.takes_pictures else x.transpose(0, 1))
        output = theirs(x)[0]
    assert output.shape == ours.shape
    for layer, (s,) in own.items():
        assert s.any() and torch.equal(other[layer.replace('.', '_')][0], s), layer
    torch.testing.assert_close(output, ours, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    'name, overrides, layer, reason',
    [
        ('spikformer_cifar', {}, 'backbone', "'flatten'"),
        ('sdt_cifar', {}, 'backbone.last_stage.pool', ''),
        ('qkformer_imagenet', {}, 'backbone.stem.project.pool', ''),
        ('sew_and', {}, r'backbone.stages.0.0', "'mul'"),
        ('e_spikeformer', {}, 'backbone.stages.0.0.mixer.neuron1', ''),
        ('resnet18', dict(neuron=dict(type='LIF', reset='soft')), 'backbone.stem_neuron', "reset='hard'"),
        ('resnet18', dict(neuron=dict(type='ALIF')), 'backbone.stem_neuron', ''),
    ],
)
def test_what_nir_cannot_say(name, overrides, layer, reason):
    with pytest.raises(A2SGError, match=rf'\b{layer} \(\w+\).*{reason}.*ONNX'):
        to_nir(deploy(name, T=2, **overrides), name)


def test_swapped_sides_of_a_square_picture():
    class Swapped(nn.Module):
        def __init__(self, *axes):
            super().__init__()
            self.conv, self.axes = nn.Conv2d(2, 2, 1), axes

        def forward(self, x):
            return self.conv(x.transpose(*self.axes).flatten(0, 1))

    x = torch.zeros(1, 1, 2, 4, 4)
    _Tracer(nir, 1e-4).trace(Swapped(1, 0), x, (2, 4, 4))  # time and batch
    for axes in ((-1, -2), (2, 1), (0, 3)):
        with pytest.raises(A2SGError, match="'transpose'"):
            _Tracer(nir, 1e-4).trace(Swapped(*axes), x, (2, 4, 4))


def test_nirtorch_traces_the_same_graph():
    """What its tracer can follow: a chain of layers, and a sum. It names input and flattening otherwise."""
    nirtorch = pytest.importorskip('nirtorch')

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.neuron = nn.Conv2d(4, 4, 3, padding=1), LIF(tau=3.0)

        def forward(self, x):
            return self.neuron(self.conv(x) + x)

    network = nn.Sequential(
        OrderedDict(
            stem=nn.Conv2d(3, 4, 3, stride=2),
            first=LIF(tau=2.0),
            block=Block(),
            mix=nn.Conv2d(4, 2, 1),
            last=LIF(tau=5.0),
            flat=nn.Flatten(),
            head=nn.Linear(98, 5),
        )
    ).eval()
    ours = _Tracer(nir, dt=1e-4)
    ours.trace(network, torch.zeros(1, 3, 16, 16), (3, 16, 16))

    def array(x):
        return x.detach().numpy()

    theirs = nirtorch.torch_to_nir(
        network,
        {
            nn.Conv2d: lambda m: nir.Conv2d(
                None, array(m.weight), m.stride, m.padding, m.dilation, m.groups, array(m.bias)
            ),
            nn.Linear: lambda m: nir.Affine(array(m.weight), array(m.bias)),
            nn.Flatten: lambda m: nir.Flatten({'input': np.array([2, 7, 7])}, 0, -1),
            LIF: lambda m: nir.LIF(*(np.array([x]) for x in (1e-4 * m.tau, 1.0, 0.0, 1.0, 0.0))),
        },
        type_check=False,
    )
    named = {'input': 'input_1', 'flat.flatten': 'flat'}
    names = {name: named.get(name, name.replace('.', '_')) for name in ours.nodes}
    assert {names[name] for name in ours.nodes} == theirs.nodes.keys()
    assert sorted((names[a], names[b]) for a, b in ours.edges) == sorted(theirs.edges)
    for name, node in ours.nodes.items():
        other = theirs.nodes[names[name]]
        assert type(other) is type(node)
        for key in (
            'weight',
            'bias',
            'stride',
            'padding',
            'dilation',
            'groups',
            'tau',
            'r',
            'v_leak',
            'v_threshold',
            'v_reset',
        ):
            assert np.all(getattr(node, key, None) == getattr(other, key, None)), (name, key)


def test_other_layers():
    """Batch norms before convolutions, neurons of the user's own, and signals that are added to themselves."""

    class Loud(Neuron):
        def forward(self, x):
            return torch.ones_like(x)

    class Doubled(nn.Module):
        def forward(self, x):
            return x + x

    for layer, reason in (
        (TimeFolded(nn.BatchNorm1d(4)), 'BatchNorm1d'),
        (Loud(), 'Loud'),
        (Doubled(), 'Doubled'),
        (nn.ReLU(), "'relu'"),
    ):
        network, description = classifier('vgg_stride', T=2, in_channels=3)
        network.head.layers.append(layer)
        with pytest.raises(A2SGError, match=rf'head\.layers\.1.*{reason}'):
            to_nir(Deployed(network, description), 'x')


def test_a_layer_that_is_used_twice():
    network, description = classifier('vgg_stride', T=2, in_channels=3)
    again = nn.Sequential(nn.Linear(4, 4), LIF())
    network.head.layers.extend([again, again])
    deployed = Deployed(network.double(), description)
    graph, x = to_nir(deployed, 'x'), steps(deployed, 3)
    assert {'head.layers.1.1', 'head.layers.1.1.2'} <= graph.nodes.keys()
    with torch.no_grad():
        torch.testing.assert_close(by_hand(graph, x)['output'], deployed.network(x[0]))


def test_only_classifiers():
    with pytest.raises(ConfigError, match='segmentation'):
        to_nir(Deployed(*segmentor(), (48, 32)), 'x')


def test_metadata(tmp_path):
    deployed = deploy('vgg_stride', in_channels=3)
    graph = read_back(to_bytes(to_nir(deployed, 'some', dt=1e-3)), tmp_path)
    found = {key: json.loads(value) for key, value in graph.metadata.items()}
    assert found['T'] == 4 and found['dt'] == 1e-3 and found['classes'] == ['ant', 'bee', 'cat', 'dog']
    assert found['preprocessing']['mean'] == [120, 110, 100] and not found['preprocessing']['blue_first']
    first = graph.nodes['backbone.features.0.neuron']
    assert np.allclose(first.tau, 2e-3) and np.allclose(first.r, 2) and np.allclose(first.v_leak, 0)
    # the network that was exported still runs all its steps
    assert deployed.network.backbone.T == 4
    assert not any('forward' in vars(module) for module in deployed.network.modules())
