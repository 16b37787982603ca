import pytest
import torch
from mmcv.cnn import ConvModule
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from a2sg_zoo.export.fold import fold_batch_norms, remaining_batch_norms
from a2sg_zoo.models.backbones.meta_spikeformer import RepConv
from a2sg_zoo.models.layers import TimeFolded
from a2sg_zoo.neurons import ILIF, Neuron
from a2sg_zoo.registry import MODELS
from tests.export.networks import backbone, excite
from tests.models.backbones.test_families import FAMILIES, image


def states(network):
    return {name: x.clone() for name, x in network.state_dict().items()}


@pytest.mark.parametrize('name', FAMILIES)
def test_every_family(name):
    """In float64 nothing but rounding differs, and no neuron fires otherwise than before."""
    stages = range(len(FAMILIES[name][1]))
    network = backbone(name, out_indices=stages).double()
    before = states(network)
    folded = fold_batch_norms(network)
    # the largest of scaled values is not the scaled largest value: a norm behind a max pooling stays
    behind_pooling = [f'stages.{i}.0.conv.bn' for i in stages] if name.startswith('resnet9') else []
    assert remaining_batch_norms(folded) == behind_pooling != remaining_batch_norms(network)
    spikes = {True: [], False: []}
    for net, key in ((network, False), (folded, True)):
        for module in net.modules():
            if isinstance(module, (Neuron, ILIF)):
                module.register_forward_hook(lambda m, _, s, key=key: spikes[key].append(s))
    x = image(network, 2, 32, 32).double()
    for ours, reference in zip(folded(x), network(x)):
        assert (ours - reference).abs().max() <= 1e-12 * reference.abs().max()
    rates = torch.stack([s.mean() for s in spikes[False]])
    # a mask or a stage of a few channels may be all ones
    assert ((rates > 0) & (rates < 1)).double().mean() > 0.6, rates
    assert all(torch.equal(a, b) for a, b in zip(spikes[True], spikes[False]))
    for key, value in states(network).items():
        assert torch.equal(value, before[key]), key


def test_the_network_stays_as_it_was():
    network = backbone('resnet18').train()
    folded = fold_batch_norms(network)
    assert network.training and not folded.training
    assert all(p.requires_grad for p in network.parameters())
    assert not any(p.requires_grad for p in folded.parameters())
    assert not {id(p) for p in network.parameters()} & {id(p) for p in folded.parameters()}


def test_half_precision_weights_are_folded_in_double():
    """Better than folding in the network's own type would be."""
    layer = excite(nn.Sequential(nn.Conv2d(3, 64, 3, bias=False), nn.BatchNorm2d(64)))
    exact = fold_batch_norms(layer.double())[0]
    ours = fold_batch_norms(layer.float())[0]
    assert torch.equal(ours.weight, exact.weight.float()) and torch.equal(ours.bias, exact.bias.float())


@pytest.mark.parametrize(
    'layers, left',
    [
        ([nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)], []),
        ([nn.Conv2d(3, 4, 3, groups=1), nn.Identity(), nn.BatchNorm2d(4, affine=False)], []),
        ([nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)], ['0']),
        ([nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)], ['2']),
        ([nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4)], ['1']),
        ([nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)], ['1']),
    ],
)
def test_orders(layers, left):
    for module in layers:
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.uniform_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight)
                nn.init.uniform_(module.bias)
    layer = nn.Sequential(*layers).double().eval()
    folded = fold_batch_norms(layer)
    assert remaining_batch_norms(folded) == left
    x = torch.randn(2, 3, 7, 7).double()
    torch.testing.assert_close(folded(x), layer(x), rtol=1e-13, atol=1e-13)


class Scaled(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x) + x.mean()


SHARED = nn.Conv2d(3, 3, 3, padding=1)


@pytest.mark.parametrize(
    'network, left',
    [
        (nn.Sequential(SHARED, nn.BatchNorm2d(3), nn.ReLU(), SHARED, nn.BatchNorm2d(3)), ['1', '4']),
        (nn.Sequential(nn.Sequential(SHARED, nn.BatchNorm2d(3)), SHARED), ['0.1']),
        # one block in two places has one batch norm
        (nn.Sequential(*[nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3))] * 2), []),
        (nn.Sequential(Scaled(3, 4, 3), nn.BatchNorm2d(4)), ['1']),
        (nn.Sequential(weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)), ['1']),
        (nn.Sequential(nn.utils.spectral_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)), ['1']),
        (ConvModule(3, 4, 3, conv_cfg=dict(type='ConvWS'), norm_cfg=dict(type='BN')), ['bn']),
        # normalises the tokens, and not the outputs of the linear layer
        (nn.Sequential(nn.Flatten(2), nn.Linear(49, 3), nn.BatchNorm1d(3)), ['2']),
    ],
)
def test_layers_in_which_a_norm_cannot_be_merged(network, left):
    excite(network).double().eval()
    folded = fold_batch_norms(network)
    assert remaining_batch_norms(folded) == left
    x = torch.randn(2, 3, 7, 7).double()
    torch.testing.assert_close(folded(x), network(x), rtol=1e-12, atol=1e-12)


def test_a_padding_of_a_norm_that_is_left():
    layer = RepConv(3)
    layer.pw1 = weight_norm(layer.pw1)
    excite(layer).double().eval()
    x = torch.randn(2, 3, 7, 7).double()
    torch.testing.assert_close(fold_batch_norms(layer).image(x), layer.image(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    'order, left', [(('conv', 'norm', 'act'), []), (('norm', 'conv', 'act'), ['bn']), (('conv', 'act', 'norm'), ['bn'])]
)
def test_heads_of_mmsegmentation(order, left):
    layer = excite(ConvModule(4, 4, 3, norm_cfg=dict(type='BN'), order=order)).double().eval()
    folded = fold_batch_norms(layer)
    assert remaining_batch_norms(folded) == left
    x = torch.randn(2, 4, 7, 7).double()
    torch.testing.assert_close(folded(x), layer(x), rtol=1e-13, atol=1e-13)


def test_segmentation_head():
    head = (
        excite(
            MODELS.build(
                dict(
                    type='SpikingFPNHead',
                    feature_strides=[4, 8],
                    in_channels=[8, 8],
                    in_index=[0, 1],
                    channels=8,
                    num_classes=3,
                    align_corners=False,
                )
            )
        )
        .double()
        .eval()
    )
    folded = fold_batch_norms(head)
    assert remaining_batch_norms(folded) == []
    inputs = [torch.randn(2, 1, 8, n, n).double() for n in (8, 4)]
    torch.testing.assert_close(folded(inputs), head(inputs), rtol=1e-12, atol=1e-12)


def test_names_and_other_layers_stay():
    layer = TimeFolded(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.MaxPool2d(2))
    folded = fold_batch_norms(layer)
    assert [type(m) for m in folded] == [nn.Conv2d, nn.Identity, nn.MaxPool2d]


def test_a_layer_that_is_used_twice_stands_between():
    """The second use of an activation separates a convolution from the batch norm after it."""
    relu = nn.ReLU()
    network = nn.Sequential(relu, nn.Conv2d(3, 4, 3), relu, nn.BatchNorm2d(4)).eval()
    network[3].running_mean.fill_(0.3)
    x = torch.randn(2, 3, 8, 8)
    folded = fold_batch_norms(network)
    assert remaining_batch_norms(folded) == ['3']
    torch.testing.assert_close(folded(x), network(x))
