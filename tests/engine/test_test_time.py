"""Several scales, mirrored pictures and the sliding window of a segmentation's test."""

from types import SimpleNamespace

import mmcv
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from a2sg_zoo.datasets import write_scenes
from a2sg_zoo.datasets.pictures import read_picture
from a2sg_zoo.engine.build import build_runner
from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.engine.test_time import check_padding, check_window, use_versions
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.segmentors import AveragedSegmentor

SMALL = {
    'model.backbone.embed_dims': 32,
    'model.backbone.depth': 1,
    'model.backbone.num_heads': 4,
    'model.backbone.T': 2,
    'model.neck.in_channels': [4, 8, 16, 32],
    'model.neck.out_channels': 8,
    'model.decode_head.in_channels': [8] * 4,
    'model.decode_head.channels': 8,
}
SIZE = 64


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp('scenes') / 'data', train=1, val=2, size=SIZE)


def config(scenes, work_dir, **options):
    cfg = prepare_config('spikformer_ade20k', {**SMALL, **options}, work_dir=work_dir, methods=['tri'])
    cfg.test_dataloader.num_workers, cfg.test_dataloader.persistent_workers = 0, False
    cfg.test_dataloader.dataset.data_root = str(scenes)
    cfg.test_dataloader.dataset.pipeline[1].scale = (SIZE, SIZE)
    return cfg


def alive(model):
    """The network with weights under which neurons of all layers fire."""
    torch.manual_seed(0)
    for x in model.parameters():
        torch.nn.init.normal_(x, 0.5 * (x.dim() == 1), 0.3)
    return model.eval()


@torch.no_grad()
def test_mean_over_versions_equals_one_by_hand(scenes, tmp_path):
    cfg = config(scenes, tmp_path)
    use_versions(cfg, (0.5, 1.0), flip=True)
    runner = build_runner(cfg)
    model = alive(runner.model)
    batch = next(iter(runner.test_dataloader))
    (merged,) = AveragedSegmentor(module=model).test_step(batch)

    image = np.ascontiguousarray(read_picture(merged.img_path)[..., ::-1])  # blue first
    total = 0
    for scale in (0.5, 1.0):
        resized = mmcv.imresize(image, (round(SIZE * scale),) * 2)
        for mirrored in (False, True):
            x = torch.from_numpy(np.ascontiguousarray(resized[:, ::-1] if mirrored else resized)).permute(2, 0, 1)
            x = ((x[[2, 1, 0]] - model.data_preprocessor.mean) / model.data_preprocessor.std)[None]
            logits = model(x, mode='tensor')
            for size in (x.shape[-2:], (SIZE, SIZE)):
                logits = F.interpolate(logits, size, mode='bilinear', align_corners=False)
            logits = logits.flip(-1) if mirrored else logits
            total = total + logits.softmax(1)[0] / 4
    torch.testing.assert_close(merged.seg_logits.data.exp(), total, rtol=1e-4, atol=1e-7)
    assert torch.equal(merged.pred_sem_seg.data[0], total.argmax(0)) and total.argmax(0).unique().numel() > 1
    assert merged.gt_sem_seg.data.shape == (1, SIZE, SIZE)


@torch.no_grad()
def test_mirrored_pictures_give_mirrored_masks(scenes, tmp_path):
    """A mean over a picture and its mirror image commutes with mirroring."""
    cfg = config(scenes, tmp_path)
    use_versions(cfg, flip=True)
    runner = build_runner(cfg)
    averaged = AveragedSegmentor(module=alive(runner.model))
    batch = next(iter(runner.test_dataloader))
    (before,) = averaged.test_step(batch)
    swapped = {key: list(reversed(value)) for key, value in batch.items()}
    for samples, flip in zip(swapped['data_samples'], (False, True)):
        samples[0].set_metainfo(dict(flip=flip, flip_direction='horizontal' if flip else None))
    before = before.seg_logits.data.clone()
    (after,) = averaged.test_step(swapped)
    torch.testing.assert_close(after.seg_logits.data, before.flip(-1))


@torch.no_grad()
def test_window_over_the_whole_picture_changes_nothing(scenes, tmp_path):
    windows = {'model.test_cfg': dict(mode='slide', crop_size=(SIZE, SIZE), stride=(40, 40))}
    runners = [build_runner(config(scenes, tmp_path / str(i), **options)) for i, options in enumerate(({}, windows))]
    batch = next(iter(runners[0].test_dataloader))
    whole, window = (alive(runner.model).test_step(batch)[0].seg_logits.data for runner in runners)
    torch.testing.assert_close(whole, window)


@pytest.mark.parametrize(
    'test_cfg, key',
    [
        (dict(mode='slid'), 'model.test_cfg.mode'),
        (dict(mode='slide'), 'model.test_cfg.crop_size'),
        (dict(mode='slide', crop_size=(64, 64)), 'model.test_cfg.stride'),
        (dict(mode='slide', crop_size=64, stride=(32, 32)), 'model.test_cfg.crop_size'),
        (dict(mode='slide', crop_size=(64, 64), stride=(0, 32)), 'model.test_cfg.stride'),
        (dict(mode='slide', crop_size=(64, 64), stride=(32, 65)), 'model.test_cfg.stride'),
    ],
)
def test_window_is_checked_before_the_training(test_cfg, key):
    with pytest.raises(ConfigError, match=key):
        check_window(test_cfg)


def test_wrong_window_stops_a_run(scenes, tmp_path):
    cfg = config(scenes, tmp_path, **{'model.test_cfg': dict(mode='slide', crop_size=(64, 64), stride=(90, 90))})
    with pytest.raises(ConfigError, match='model.test_cfg.stride'):
        build_runner(cfg)


@pytest.mark.parametrize('scales', [(), (0.0,), (1.0, -1.0), (float('nan'),), (1e9,)])
def test_scales_are_checked(scenes, tmp_path, scales):
    with pytest.raises(ConfigError, match='--scales'):
        use_versions(config(scenes, tmp_path), scales)


def test_pipeline_without_a_resize_gets_one(scenes, tmp_path):
    cfg = config(scenes, tmp_path)
    del cfg.test_dataloader.dataset.pipeline[1]
    cfg.custom_hooks = None
    use_versions(cfg, (0.5, 1.0))
    runner = build_runner(cfg)
    sizes = [tuple(x[0].shape[-2:]) for x in next(iter(runner.test_dataloader))['inputs']]
    assert sizes == [(SIZE // 2, SIZE // 2), (SIZE, SIZE)]


def test_versions_are_for_segmentation():
    with pytest.raises(ConfigError, match='--scales'):
        use_versions(prepare_config('resnet_small_digits'), (0.5, 1.0))


@pytest.mark.parametrize('place', ['', 'test_cfg.'])
def test_pictures_are_padded_to_one_size(place):
    both = dict(size=(64, 64), size_divisor=16)
    with pytest.raises(ConfigError, match=f'data_preprocessor.{place}size'):
        check_padding(SimpleNamespace(test_cfg=both) if place else SimpleNamespace(**both))
    check_padding(SimpleNamespace(size=(64, 64), test_cfg=dict(size_divisor=16)))
