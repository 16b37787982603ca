"""Backbones and heads of small segmentors, and the table of what each pair of them can do.

`python -m tests.models.segmentors.heads` prints it.
"""

import tempfile
from pathlib import Path

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from a2sg_zoo import A2SG, attach
from a2sg_zoo.engine.build import check_channels
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.export import Deployed
from a2sg_zoo.export.to_onnx import to_onnx
from a2sg_zoo.hub.published import Description, build, load, save
from tests.export.networks import calibrate, pictures

CLASSES = ['road', 'sky', 'car', 'tree', 'person']
PALETTE = [[40 * i, 255 - 40 * i, 0] for i in range(5)]
_TAPS = dict(T=2, out_indices=(0, 1, 2, 3))
# {name: (config, channels of the levels)}
BACKBONES = {
    'Spikformer': (dict(type='Spikformer', embed_dims=32, depth=1, num_heads=4, **_TAPS), (4, 8, 16, 32)),
    'MetaSpikeFormer': (
        dict(
            type='MetaSpikeFormer',
            embed_dims=[8, 16, 24, 32],
            depths=[1, 1],
            num_heads=4,
            T=2,
            out_indices=(0, 1, 2, 4),
        ),
        (4, 8, 16, 32),
    ),
    'ESpikeFormer': (
        dict(
            type='ESpikeFormer',
            embed_dims=[8, 16, 24, 32],
            depths=[1, 1],
            num_heads=4,
            T=2,
            neuron=dict(type='LIF', tau=2.0),
            out_indices=(0, 1, 2, 4),
        ),
        (4, 8, 16, 32),
    ),
}
_BN = dict(norm_cfg=dict(type='BN'))
_ALL, _LAST = dict(in_index=[0, 1, 2, 3]), dict(in_index=3)
# {type: (arguments, neck)}; a neck makes the channels of all levels equal
HEADS = {
    'FPNHead': (dict(feature_strides=[2, 4, 8, 16], **_ALL, **_BN), True),
    'UPerHead': (dict(pool_scales=(1, 2), **_ALL, **_BN), False),
    'SegformerHead': (dict(**_ALL, **_BN), False),
    'FCNHead': (dict(**_LAST, **_BN), False),
    'PSPHead': (dict(pool_scales=(1, 2), **_LAST, **_BN), False),
    'ASPPHead': (dict(dilations=(1, 2), **_LAST, **_BN), False),
    'DepthwiseSeparableASPPHead': (dict(dilations=(1, 2), c1_in_channels=0, c1_channels=0, **_LAST, **_BN), False),
    'SpikingFPNHead': (dict(feature_strides=[2, 4, 8, 16], **_ALL), True),
    'SpikingUPerHead': (dict(pool_scales=(1, 2), **_ALL), False),
    'SpikingSegformerHead': (_ALL, False),
    'SpikingFCNHead': (_LAST, False),
    'SpikingPSPHead': (dict(pool_scales=(1, 2), **_LAST), False),
    'SpikingASPPHead': (dict(dilations=(1, 2), **_LAST), False),
    'SpikingMaskHead': (dict(num_queries=8, num_layers=3, num_heads=2, num_points=64, **_ALL), True),
}


def config(backbone: str, head: str) -> dict:
    """The part `model` of a config."""
    network, channels = BACKBONES[backbone]
    arguments, pyramid = HEADS[head]
    spiking = head.startswith('Spiking')
    neck = dict(type='SpikingFPN' if spiking else 'FPN', in_channels=list(channels), out_channels=8)
    if not spiking:
        neck['num_outs'] = 4
    levels = [8] * 4 if pyramid else list(channels)
    one = arguments['in_index'] == 3
    model = dict(
        type='EncoderDecoder',
        data_preprocessor=dict(
            type='SegDataPreProcessor',
            mean=[120.0, 110.0, 100.0],
            std=[60.0, 50.0, 70.0],
            bgr_to_rgb=True,
            size_divisor=16,
            test_cfg=dict(size_divisor=16),
        ),
        backbone=dict(network, time='keep' if spiking else 'mean'),
        decode_head=dict(
            type=head, in_channels=levels[3] if one else levels, channels=8, num_classes=5, align_corners=False
        ),
        train_cfg={},
        test_cfg=dict(mode='whole'),
    )
    model['decode_head'].update(arguments)
    return model | (dict(neck=neck) if pyramid else {})


def description(backbone: str, head: str) -> Description:
    """What a published file of the network says."""
    return Description('segmentation', config(backbone, head), CLASSES, dict(scale=[64, 64], keep_ratio=True), PALETTE)


def train_step(model: torch.nn.Module) -> list[str]:
    """One step of training with A2SG, after the check of a run; the names of the parameters that got no gradient."""
    check_channels(model)
    neurons = attach(model, A2SG())
    inputs = torch.rand(2, 3, 64, 64)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(5, (1, 64, 64)))) for _ in range(2)]
    losses = model.train()(inputs, samples, mode='loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert all(neuron.beta.isfinite().all() for neuron in neurons.values())
    return [name for name, p in model.named_parameters() if p.grad is None]


def published(model: torch.nn.Module, backbone: str, head: str, folder: Path) -> torch.nn.Module:
    """The network as it comes back from a published file."""
    save(model.state_dict(), description(backbone, head), folder / 'network.safetensors')
    return load(folder / 'network.safetensors')[0]


def onnx_error(model: torch.nn.Module, backbone: str, head: str) -> float:
    """Largest difference between the logits of the network and of its ONNX file. Neurons fire at all depths."""
    import onnxruntime

    calibrate(model, description(backbone, head))
    deployed = Deployed(model.eval(), description(backbone, head), (64, 64))
    images = pictures(2, 64, 64)
    session = onnxruntime.InferenceSession(to_onnx(deployed, head), providers=['CPUExecutionProvider'])
    (logits,) = session.run(None, {'images': images.numpy()})
    with torch.no_grad():
        expected = deployed(images)
    # a network in which nothing fires has the same logits for every picture
    assert (expected[0] - expected[1]).abs().max() > 0.1
    return float((torch.as_tensor(logits) - expected).abs().max())


def main() -> None:
    """Prints the table."""
    print('| head | ' + ' | '.join(BACKBONES) + ' |')
    print('|---' * (len(BACKBONES) + 1) + '|')
    for head in HEADS:
        cells = []
        for backbone in BACKBONES:
            torch.manual_seed(0)
            model = build(config(backbone, head), 'table')
            silent = train_step(model)
            with tempfile.TemporaryDirectory() as folder:
                published(model, backbone, head, Path(folder))
            try:
                exported = f'ONNX {onnx_error(model, backbone, head):.0e}'
            except A2SGError as error:
                exported = f'no ONNX: {error}'
            cells.append('trains, publishes, ' + exported if not silent else f'no gradient: {silent}')
        print(f'| {head} | ' + ' | '.join(cells) + ' |', flush=True)


if __name__ == '__main__':
    main()
