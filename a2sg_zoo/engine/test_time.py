"""What a test does to pictures around the network: several scales, mirrored pictures, windows, padding."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.classifiers import SpikingClassifier
from a2sg_zoo.registry import MODELS
from a2sg_zoo.utils.checks import is_integer


def use_versions(cfg: Config, scales: Sequence[float] = (1.0,), flip: bool = False) -> None:
    """Make the test of a config average over versions of each picture.

    A classification takes the mean of logits, see `SpikingClassifier`, and a segmentation that of probabilities, see
    `AveragedSegmentor`. The `Resize` step of the test's pipeline gets each of the scales in turn. Where there is no
    such step, pictures are resized from their own size.

    Args:
        cfg: from `prepare_config`; it is changed.
        scales: factors of the test's usual size; of a segmentation alone.
        flip: whether each scale is also predicted from the mirrored picture.

    Raises:
        ConfigError: the network has no use for the versions, a scale is not positive, or the pipeline has no place for
            the step.
    """
    if tuple(scales) == (1.0,) and issubclass(MODELS.get(cfg.model.type), SpikingClassifier):
        cfg.model.test_cfg = dict(cfg.model.get('test_cfg') or {}, flip=flip)
        return
    if 'decode_head' not in cfg.model:
        raise ConfigError(
            '--scales is for segmentations, and --flip for them and classifications; leave out what this network has '
            'no use for'
        )
    if not scales or any(not 0.05 <= scale <= 20 for scale in scales):
        raise ConfigError(f'--scales must be factors from 0.05 to 20, got {" ".join(f"{s:g}" for s in scales)}')
    dataset = cfg.test_dataloader.dataset
    steps = [dict(step) for step in dataset.get('pipeline', ())]
    kinds = [str(step['type']).rpartition('/')[2].rpartition('.')[2] for step in steps]
    if 'TestTimeAug' in kinds:
        raise ConfigError('--scales and --flip: test_dataloader.dataset.pipeline has a TestTimeAug step already')
    if not kinds or not kinds[0].startswith('Load'):
        raise ConfigError(
            '--scales and --flip: test_dataloader.dataset.pipeline must begin with a step that loads the picture'
        )
    place = kinds.index('Resize') if 'Resize' in kinds else 1
    resize = steps.pop(place) if 'Resize' in kinds else dict(type='Resize', scale_factor=1.0, keep_ratio=True)
    versions = [
        [_scaled(resize, scale) for scale in scales],
        [dict(type='RandomFlip', prob=float(mirrored)) for mirrored in ((False, True) if flip else (False,))],
        *([step] for step in steps[place:]),
    ]
    dataset.pipeline = [*steps[:place], dict(type='TestTimeAug', transforms=versions)]
    hook = dict(type='PrepareTTAHook', tta_cfg=dict(type='AveragedSegmentor'))
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), hook]


def _scaled(resize: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """A step `Resize` to a multiple of the size of another one."""
    key = 'scale' if resize.get('scale') is not None else 'scale_factor'
    size = resize[key]
    if isinstance(size, (list, tuple)):
        return {**resize, key: tuple(max(1, round(x * scale)) if key == 'scale' else x * scale for x in size)}
    return {**resize, key: max(1, round(size * scale)) if key == 'scale' else size * scale}


def check_window(test_cfg: Mapping[str, Any] | None) -> None:
    """Check the window of a segmentation, before it is used for the first time after hours of training.

    Args:
        test_cfg: `model.test_cfg` of an `EncoderDecoder`.

    Raises:
        ConfigError: `mode` is another word, or the window or its step is missing or leaves gaps.
    """
    test_cfg = test_cfg or {}
    mode = test_cfg.get('mode', 'whole')
    if mode not in ('whole', 'slide'):
        raise ConfigError(f"model.test_cfg.mode must be 'whole' or 'slide', got {mode!r}")
    if mode == 'whole':
        return
    for key in ('crop_size', 'stride'):
        value = test_cfg.get(key)
        if not isinstance(value, (list, tuple)) or len(value) != 2 or not all(is_integer(x) and x > 0 for x in value):
            raise ConfigError(
                f"model.test_cfg.{key} = {value!r}: the mode 'slide' needs (height, width) in pixels, for example "
                "model.test_cfg = dict(mode='slide', crop_size=(512, 512), stride=(341, 341))"
            )
    for step, size in zip(test_cfg['stride'], test_cfg['crop_size']):
        if step > size:
            raise ConfigError(
                f'model.test_cfg.stride = {tuple(test_cfg["stride"])} leaves gaps between windows of crop_size = '
                f'{tuple(test_cfg["crop_size"])}; take a stride of at most the window'
            )


def check_padding(preprocessor: Any) -> None:
    """Check what pictures of a segmentation are padded to, before the first batch.

    Args:
        preprocessor: MMSegmentation's `SegDataPreProcessor`, or another one.

    Raises:
        ConfigError: both a fixed size and a divisor are given.
    """
    training = {key: getattr(preprocessor, key, None) for key in ('size', 'size_divisor')}
    test_cfg = getattr(preprocessor, 'test_cfg', None) or {}
    for place, values in (('', training), ('test_cfg.', test_cfg)):
        if values.get('size') is not None and values.get('size_divisor') is not None:
            raise ConfigError(
                f'model.data_preprocessor.{place}size = {values["size"]} and {place}size_divisor = '
                f'{values["size_divisor"]}: pictures are padded to one of them; leave the other out'
            )
