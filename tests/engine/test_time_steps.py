"""Neurons with parameters for each time step, anywhere in a network, have them when the network has been built."""

import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.published import Description, construct, load, save
from a2sg_zoo.neurons import LIF, PSN, named_neurons, set_time_steps
from tests.engine import toy

T, SIZE = 3, 32
SCALE = dict(scale=[SIZE, SIZE], keep_ratio=True)


def segmentor(neuron):
    return dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size_divisor=16),
        backbone=dict(
            type='Spikformer', embed_dims=16, depth=1, num_heads=2, T=T, out_indices=(0, 1, 2, 3), time='keep'
        ),
        neck=dict(type='SpikingFPN', in_channels=[2, 4, 8, 16], out_channels=4, neuron=neuron),
        decode_head=dict(
            type='SpikingFPNHead',
            in_channels=[4] * 4,
            in_index=[0, 1, 2, 3],
            channels=4,
            num_classes=3,
            feature_strides=[2, 4, 8, 16],
            align_corners=False,
            neuron=neuron,
        ),
        train_cfg={},
        test_cfg=dict(mode='whole'),
    )


def detector(neuron):
    return dict(
        type='SpikingDetector',
        data_preprocessor=dict(type='ImgDataPreprocessor', pad_size_divisor=32),
        backbone=dict(
            type='MetaSpikeFormer',
            embed_dims=[8, 8, 8, 8],
            depths=[1, 1],
            num_heads=2,
            T=T,
            out_indices=(1, 2, 4),
            time='keep',
        ),
        neck=dict(type='SpikingFPN', in_channels=[8, 8, 8], out_channels=8, neuron=neuron),
        detection_head=dict(type='RetinaNetHead', in_channels=8, num_classes=3, anchor_sizes=[8, 16, 32]),
    )


def classifier(neuron):
    return dict(
        type='SpikingClassifier',
        data_preprocessor=dict(type='ImgDataPreprocessor'),
        backbone=dict(type='CSNN', widths=(4,), T=T, time='keep', neuron=dict(type='LIF')),
        head=dict(type='VotingHead', in_channels=4, num_classes=3, hidden=8, votes=2, neuron=neuron),
    )


def batch(kind):
    if kind is classifier:
        return dict(inputs=[torch.rand(T, 2, 8, 8) for _ in range(2)], data_samples=torch.tensor([0, 1]))
    inputs = [torch.randint(256, (3, SIZE, SIZE), dtype=torch.uint8) for _ in range(2)]
    size = dict(img_shape=(SIZE, SIZE), ori_shape=(SIZE, SIZE))
    if kind is segmentor:
        from mmseg.structures import SegDataSample

        sample = SegDataSample(gt_sem_seg=PixelData(data=torch.randint(2, (1, SIZE, SIZE))), metainfo=size)
    else:
        sample = BaseDataElement(metainfo=size)
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[2.0, 2, 20, 20]]), labels=torch.tensor([1]))
    return dict(inputs=inputs, data_samples=[sample] * 2)


@pytest.mark.parametrize('neuron', ['PSN', 'GLIF'])
@pytest.mark.parametrize(
    'kind, part', [(segmentor, 'decode_head'), (segmentor, 'neck'), (detector, 'neck'), (classifier, 'head')]
)
def test_a_run_trains_the_parameters_of_each_time_step(kind, part, neuron, tmp_path):
    torch.manual_seed(0)
    config = kind(dict(type=neuron))
    runner = toy.runner(tmp_path / 'run', model=config, lr=0.1)
    model = runner.model
    optimizer = runner.build_optim_wrapper(runner.optim_wrapper)
    policy = A2SG()
    attach(model, policy, T)
    policy.begin(0)
    neurons = named_neurons(getattr(model, part)).values()
    found = [p for neuron in neurons for p in neuron.parameters() if p.dim() and len(p) == T]
    assert len(found) >= len(neurons) > 0
    learned = {id(p) for group in optimizer.optimizer.param_groups for p in group['params']}
    assert all(id(parameter) in learned for parameter in model.parameters())
    before = [p.detach().clone() for p in found]
    model.train().train_step(batch(kind), optimizer)
    assert all((p != q).any() for p, q in zip(found, before))

    again = toy.runner(tmp_path / 'again', model=config).model
    again.load_state_dict(model.state_dict())


def test_a_published_file_holds_them(tmp_path):
    config = segmentor(dict(type='PSN'))
    model = construct(config, 'test')
    weight = model.decode_head.levels[0][0].neuron.weight
    assert weight.shape == (T, T)
    description = Description(
        'segmentation', config, ['road', 'sky', 'car'], SCALE, [[0, 0, 0], [255, 255, 255], [9, 9, 9]]
    )
    save(model.state_dict(), description, tmp_path / 'network.safetensors')
    again = load(tmp_path / 'network.safetensors')[0]
    torch.testing.assert_close(again.decode_head.levels[0][0].neuron.weight, weight, atol=1e-3, rtol=1e-3)
    assert again(torch.rand(1, 3, SIZE, SIZE)).shape[:2] == (1, 3)
    with pytest.raises(ConfigError, match='decode_head.*neuron.*T = 3'):
        load(tmp_path / 'network.safetensors', T=2)


def test_what_knows_its_time_steps_is_left_as_it_is():
    network = torch.nn.ModuleDict(dict(backbone=torch.nn.Identity(), neuron=PSN(T=2), other=LIF()))
    set_time_steps(network)  # a backbone without time steps
    assert network.other.time_steps is None
    network.backbone.T = T
    weight = network.neuron.weight
    set_time_steps(network)
    assert network.neuron.weight is weight and network.other.beta.shape == (T,)
