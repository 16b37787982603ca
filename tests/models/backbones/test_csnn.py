"""The convolutional network of PLIF: equal to SpikingJelly's, and able to load its weights."""

import pytest
import torch

from a2sg_zoo.models.classifiers import SpikingClassifier
from a2sg_zoo.registry import MODELS

NEURON = dict(type='PLIF', tau=2.0, surrogate=dict(type='ATan', alpha=2.0))


def published(name, **kwargs):
    library = pytest.importorskip('spikingjelly.activation_based.model.parametric_lif_net')
    from spikingjelly.activation_based import functional, neuron, surrogate

    network = getattr(library, name)(
        spiking_neuron=neuron.ParametricLIFNode,
        surrogate_function=surrogate.ATan(),
        detach_reset=True,
        init_tau=2.0,
        **kwargs,
    )
    functional.set_step_mode(network, 'm')
    return network.double()


@pytest.mark.parametrize('name, stages, side, classes', [('DVSGestureNet', 5, 32, 11), ('NMNISTNet', 2, 34, 10)])
def test_equals_spikingjelly(name, stages, side, classes):
    """Outputs and gradients, with the weights of the published network; float64."""
    peer = published(name, channels=8).train()
    linear = [m for m in peer.conv_fc if isinstance(m, torch.nn.Linear)]
    if name == 'DVSGestureNet':  # its first linear layer is for 128x128 pixels
        linear[0] = peer.conv_fc[22] = type(linear[0])(8, 512).double()
        linear[0].step_mode = 'm'
    for module in peer.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.weight, 2.0)
        elif isinstance(module, torch.nn.Dropout) or type(module).__name__ == 'Dropout':
            module.p = 0.0
    for layer in linear:
        layer.weight.data.mul_(4)
    backbone = dict(type='CSNN', widths=(8,) * stages, T=4, time='keep', neuron=NEURON)
    grid = side // 2**stages
    head = dict(
        type='VotingHead',
        in_channels=8,
        grid=grid,
        hidden=linear[0].out_features,
        num_classes=classes,
        dropout=0.0,
        neuron=NEURON,
    )
    ours = SpikingClassifier(backbone, head).double().train()
    weights, dropped = ours.backbone.from_official(peer.state_dict())
    assert dropped and all(int(key.split('.')[1]) >= 4 * stages for key in dropped)
    missing, unexpected = ours.backbone.load_state_dict(weights, strict=False)
    assert not unexpected and all(key.endswith('.beta') for key in missing)
    for index, layer in zip((1, 4), linear):
        ours.head.layers[index].load_state_dict(layer.state_dict())
    frames = torch.rand(2, 4, 2, side, side, dtype=torch.float64) * 2
    (rates := ours(frames)).square().sum().backward()
    # an error of the compiler's rounding could move a potential across the threshold, so spikes are compared first
    expected = peer(frames.transpose(0, 1))
    assert 0 < expected.mean() < 1
    torch.testing.assert_close(rates, expected)
    expected.square().sum().backward()
    for index, layer in zip((1, 4), linear):
        torch.testing.assert_close(ours.head.layers[index].weight.grad, layer.weight.grad)
    for i, stage in enumerate(ours.backbone.stages):
        torch.testing.assert_close(stage.project.conv.weight.grad, peer.conv_fc[4 * i].weight.grad)
        torch.testing.assert_close(stage.neuron.w.grad, peer.conv_fc[4 * i + 2].w.grad)


def test_stages_halve_the_picture_and_sizes_follow_from_the_weights():
    backbone = MODELS.build(dict(type='CSNN', widths=(4, 6, 8), T=3, time='keep', out_indices=(0, 1, 2))).eval()
    outputs = backbone(torch.rand(3, 2, 2, 17, 32))
    assert [tuple(y.shape[2:]) for y in outputs] == [(4, 8, 16), (6, 4, 8), (8, 2, 4)]
    assert backbone.sizes_of(backbone.state_dict()) == dict(widths=[4, 6, 8], in_channels=2)


def test_parameters_of_the_published_network():
    """128 channels, five stages, and one learned time constant a layer."""
    with torch.device('meta'):
        backbone = MODELS.build(dict(type='CSNN'))
    expected = 9 * 2 * 128 + 4 * 9 * 128 * 128 + 5 * (2 * 128 + 1)
    assert sum(p.numel() for p in backbone.parameters()) == expected
