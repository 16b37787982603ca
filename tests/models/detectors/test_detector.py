"""Detectors: torchvision's own, with the same weights and features, are the reference for losses and predictions."""

from collections import OrderedDict

import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import MultiScaleRoIAlign

from a2sg_zoo.adaptation import A2SG, attach
from a2sg_zoo.engine.build import check_channels
from a2sg_zoo.errors import ConfigError, NonFiniteError
from a2sg_zoo.models.detectors import FasterRCNNHead, FCOSHead, MaskRCNNHead, RetinaNetHead, SpikingDetector
from a2sg_zoo.registry import MODELS

SIZE, CHANNELS, CLASSES = 64, 32, 3
ANCHORS = [12, 24, 48]
RATIOS = ((0.5, 1.0, 2.0),) * 3


class Given(nn.Module):
    """In place of a backbone of torchvision's detectors: gives the features that the test made."""

    out_channels = CHANNELS

    def forward(self, x):
        return OrderedDict((str(i), f) for i, f in enumerate(self.features))


def arguments():
    return dict(min_size=SIZE, max_size=SIZE, image_mean=[0.0] * 3, image_std=[1.0] * 3)


def retinanet(backbone):
    sizes = tuple((s, s * 2 ** (1 / 3), s * 2 ** (2 / 3)) for s in ANCHORS)
    anchors = AnchorGenerator(sizes, RATIOS)
    return detection.RetinaNet(
        backbone, CLASSES, anchor_generator=anchors, detections_per_img=100, score_thresh=0, **arguments()
    )


def fcos(backbone):
    anchors = AnchorGenerator(tuple((s,) for s in (8, 16, 32)), ((1.0,),) * 3)
    return detection.FCOS(backbone, CLASSES, anchor_generator=anchors, score_thresh=0, **arguments())


def rcnn(kind):
    def build(backbone):
        pools = dict(box_roi_pool=MultiScaleRoIAlign(['0', '1'], 7, 2))
        if kind is detection.MaskRCNN:
            pools['mask_roi_pool'] = MultiScaleRoIAlign(['0', '1'], 14, 2)
        anchors = AnchorGenerator(tuple((s,) for s in ANCHORS), RATIOS)
        return kind(backbone, CLASSES + 1, rpn_anchor_generator=anchors, box_score_thresh=0, **pools, **arguments())

    return build


HEADS = {
    'RetinaNetHead': (lambda: RetinaNetHead(CHANNELS, CLASSES, ANCHORS, score_thresh=0), retinanet, 0),
    'FCOSHead': (lambda: FCOSHead(CHANNELS, CLASSES, [8, 16, 32], score_thresh=0), fcos, 0),
    'FasterRCNNHead': (
        lambda: FasterRCNNHead(CHANNELS, CLASSES, ANCHORS, score_thresh=0),
        rcnn(detection.FasterRCNN),
        1,
    ),
    'MaskRCNNHead': (lambda: MaskRCNNHead(CHANNELS, CLASSES, ANCHORS, score_thresh=0), rcnn(detection.MaskRCNN), 1),
}


def targets(shift=0):
    """A picture with two objects, and one without any."""
    masks = torch.zeros(2, SIZE, SIZE, dtype=torch.uint8)
    masks[0, 10:30, 5:25] = masks[1, 20:60, 30:60] = 1
    boxes = torch.tensor([[5.0, 10, 25, 30], [30, 20, 60, 60]])
    return [
        dict(boxes=boxes, labels=torch.tensor([0, 2]) + shift, masks=masks),
        dict(boxes=boxes[:0], labels=torch.zeros(0, dtype=torch.long), masks=masks[:0]),
    ]


@pytest.mark.parametrize('name', HEADS)
def test_losses_and_predictions_are_those_of_torchvision(name):
    make, theirs, shift = HEADS[name]
    own, features = make(), [torch.randn(2, CHANNELS, s, s) for s in (16, 8, 4)]
    reference = theirs(Given())
    reference.load_state_dict(own.state_dict())
    reference.backbone.features = features
    images = torch.rand(2, 3, SIZE, SIZE)
    batch = ImageList(images, [(SIZE, SIZE)] * 2)

    torch.manual_seed(3)  # the regions to learn from are drawn
    for _ in images:  # torchvision draws a size for each picture before
        torch.empty(1).uniform_()
    found = own(features, batch, targets())
    torch.manual_seed(3)
    expected = reference.train()(list(images), targets(shift))
    assert len(found) == len(expected)
    torch.testing.assert_close([*found.values()], [*expected.values()])
    assert all(key.startswith('loss_') for key in found)

    with torch.no_grad():
        found, expected = own.eval()(features, batch), reference.eval()(list(images))
    for a, b in zip(found, expected):
        assert len(a['boxes']) > 10
        assert torch.equal(a['labels'] + shift, b['labels'])
        torch.testing.assert_close(a['boxes'], b['boxes'])
        torch.testing.assert_close(a['scores'], b['scores'])


@pytest.mark.parametrize('name', ['FasterRCNNHead', 'MaskRCNNHead'])
def test_padding_does_not_change_how_regions_are_read(name):
    head = HEADS[name][0]().eval()
    features = [torch.randn(1, CHANNELS, s, s) for s in (16, 8, 4)]
    with torch.no_grad():
        # less than half of its height is picture
        head(features, ImageList(torch.zeros(1, 3, SIZE, SIZE), [(20, SIZE)]))
        assert head.roi_heads.box_roi_pool.scales == [1 / 4, 1 / 8]
        head(features, ImageList(torch.zeros(1, 3, 2 * SIZE, 2 * SIZE), [(2 * SIZE, 2 * SIZE)]))
        assert head.roi_heads.box_roi_pool.scales == [1 / 8, 1 / 16]


def detector(head='RetinaNetHead', neck='FeaturePyramid', time='mean', **overrides):
    torch.manual_seed(0)
    sizes = dict(strides=[4, 8, 16, 32]) if head == 'FCOSHead' else dict(anchor_sizes=[8, 16, 32, 64])
    small = dict(fc_channels=16) if 'RCNN' in head else {}
    return MODELS.build(
        dict(
            type='SpikingDetector',
            data_preprocessor=dict(type='ImgDataPreprocessor', mean=[127.0] * 3, std=[64.0] * 3, pad_size_divisor=32),
            backbone=dict(
                type='MetaSpikeFormer',
                embed_dims=[8, 16, 16, 24],
                depths=[1, 1],
                num_heads=2,
                T=2,
                out_indices=(1, 2, 4),
                time=time,
            ),
            neck=dict(type=neck, in_channels=[8, 16, 24], out_channels=32, num_outs=4),
            detection_head=dict(type=head, in_channels=32, num_classes=CLASSES, **sizes, **small, **overrides),
        )
    )


def data(masks=False, names=('a.jpg', 'b.jpg')):
    """Two pictures of different sizes, the second without objects."""
    samples, inputs = [], []
    for name, truth, size in zip(names, targets(), ((SIZE, SIZE), (48, 56))):
        sample = BaseDataElement(metainfo=dict(img_path=name, img_shape=size, ori_shape=(2 * size[0], 2 * size[1])))
        sample.gt_instances = InstanceData(bboxes=truth['boxes'], labels=truth['labels'])
        if masks:
            sample.gt_instances.masks = truth['masks'][:, : size[0], : size[1]]
        samples.append(sample)
        inputs.append(torch.randint(256, (3, *size), dtype=torch.uint8))
    return dict(inputs=inputs, data_samples=samples)


@pytest.mark.parametrize('neck, time', [('FeaturePyramid', 'mean'), ('SpikingFPN', 'keep')])
@pytest.mark.parametrize('head', HEADS)
def test_every_parameter_learns_and_every_neuron_is_adapted(head, neck, time):
    model = detector(head, neck, time).train()
    check_channels(model)
    policy = A2SG()
    neurons = attach(model, policy)
    policy.begin(0)
    losses = model(**model.data_preprocessor(data(masks=True), True), mode='loss')
    sum(losses.values()).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert not silent
    assert len(neurons) > 10 and any(name.startswith('neck.') for name in neurons) == (neck == 'SpikingFPN')
    assert all(neuron.beta.shape == (2,) for neuron in neurons.values())


@pytest.mark.parametrize('head', HEADS)
def test_predictions_are_in_pixels_of_the_picture(head, monkeypatch):
    model = detector(head, score_thresh=0).eval()
    batch, pasted = data(), []

    def paste(masks, boxes, size):
        pasted.append(len(masks))
        return paste_masks_in_image(masks, boxes, size)

    monkeypatch.setattr('a2sg_zoo.models.detectors.detector.paste_masks_in_image', paste)
    with torch.no_grad():
        raw = model(**model.data_preprocessor(batch), mode='tensor')
        samples = model.test_step(batch)
    for sample, found in zip(samples, raw):
        height, width = sample.ori_shape
        boxes = sample.pred_instances.bboxes
        assert len(boxes) > 0 and sample.pred_instances.labels.max() < CLASSES
        torch.testing.assert_close(boxes, 2 * found['boxes'])
        assert boxes[:, 0::2].max() <= width and boxes[:, 1::2].max() <= height and boxes.min() >= 0
        assert ('masks' in sample.pred_instances) == (head == 'MaskRCNNHead')
        if head == 'MaskRCNNHead':
            assert sample.pred_instances.masks.shape == (len(boxes), height, width)
            assert torch.equal(
                sample.pred_instances.masks, paste_masks_in_image(found['masks'], boxes, (height, width))[:, 0] > 0.5
            )
    # together they would take gigabytes for a large picture
    assert {*pasted} == ({1} if head == 'MaskRCNNHead' else set())


@pytest.mark.parametrize('head', HEADS)
def test_a_picture_without_objects_is_learnt_alone(head):
    model = detector(head).train()
    batch = {key: value[1:] for key, value in data(masks=True).items()}
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert sum(losses.values()).isfinite() and sum(losses.values()) > 0


@pytest.mark.parametrize('head, part', [('RetinaNetHead', 'cls_logits'), ('MaskRCNNHead', 'cls_score')])
def test_answers_that_are_not_finite_name_the_picture(head, part):
    model = detector(head).eval()
    name = next(name for name, _ in model.named_parameters() if f'{part}.weight' in name)
    with torch.no_grad():
        model.get_parameter(name).fill_(float('nan'))
        with pytest.raises(NonFiniteError, match='street.jpg'):
            model.test_step(data(names=('street.jpg', 'b.jpg')))


def test_the_loss_of_a_network_in_evaluation_mode():
    model = detector('MaskRCNNHead').eval()
    losses = model(**model.data_preprocessor(data(masks=True)), mode='loss')
    assert len(losses) == 5
    with torch.no_grad():
        assert 'pred_instances' in model.test_step(data())[0]


def test_channels_that_do_not_fit_are_named():
    model = detector()
    model.detection_head.in_channels = [64] * 4
    with pytest.raises(ConfigError, match='model.detection_head.in_channels'):
        check_channels(model)


@pytest.mark.parametrize('key, value', [('anchor_sizes', []), ('anchor_sizes', [8, 0]), ('aspect_ratios', [-1.0])])
def test_anchors_that_cannot_be(key, value):
    with pytest.raises(ConfigError, match=key):
        RetinaNetHead(CHANNELS, CLASSES, **{key: value})


@pytest.mark.parametrize(
    'backbone, channels',
    [
        (
            dict(type='Spikformer', form='imagenet', embed_dims=32, depth=1, num_heads=4, out_indices=(1, 2, 3)),
            [8, 16, 32],
        ),
        (dict(type='SEWResNet', depths=(1, 1, 1, 1), widths=(8, 8, 16, 16), out_indices=(1, 2, 3)), [8, 16, 16]),
        (dict(type='QKFormer', embed_dims=32, depth=4, num_heads=4, out_indices=(0, 1, 2)), [8, 16, 32]),
        (
            dict(
                type='ESpikeFormer', embed_dims=[8, 16, 32, 40], depths=[1, 1], num_heads=4, T=1, out_indices=(1, 2, 4)
            ),
            [8, 16, 40],
        ),
    ],
)
def test_any_backbone_with_feature_maps(backbone, channels):
    model = SpikingDetector(
        backbone=dict(T=2) | backbone,
        neck=dict(type='FeaturePyramid', in_channels=channels, out_channels=16, num_outs=4, extra='conv'),
        detection_head=dict(type='RetinaNetHead', in_channels=16, num_classes=CLASSES, anchor_sizes=[8, 16, 32, 64]),
        data_preprocessor=dict(type='ImgDataPreprocessor', pad_size_divisor=32),
    )
    check_channels(model)
    losses = model.train()(**model.data_preprocessor(data(), True), mode='loss')
    assert sum(losses.values()).isfinite()
