"""A detector: a spiking backbone, a feature pyramid and a head of torchvision, with MMEngine's three modes."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement, InstanceData
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import clip_boxes_to_image

from a2sg_zoo.errors import ConfigError, NonFiniteError, printable
from a2sg_zoo.models.necks import FeaturePyramid
from a2sg_zoo.registry import MODELS

_MASK_THRESHOLD = 0.5


@MODELS.register_module()
class SpikingDetector(BaseModel):
    """A detector of objects, and of their masks if the head gives them.

    A plain pyramid takes features averaged over time (`backbone.time='mean'`), and a spiking one those with a time axis
    (`backbone.time='keep'`). Time ends before a plain head, so the outputs of a spiking pyramid are averaged. A spiking
    head takes them as they are.

    Args:
        backbone: config of a backbone with several `out_indices`, finest first.
        detection_head: config of a head of this package: RetinaNetHead, FCOSHead, FasterRCNNHead, MaskRCNNHead,
            SpikingRetinaNetHead, SpikingFCOSHead.
        neck: config of a pyramid, such as FeaturePyramid or SpikingFPN; None if the head takes the backbone's outputs.
        data_preprocessor: config; MMEngine's `ImgDataPreprocessor` normalises and pads pictures on the device.
        init_cfg: MMEngine's config of the initial weights.

    Attributes:
        backbone: the backbone.
        neck: the pyramid, or None.
        detection_head: the head.
        without_time: names of the parts that take features averaged over time.

    Raises:
        ConfigError: the backbone's time axis is not what the neck or the head takes.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.detectors import SpikingDetector
        >>> model = SpikingDetector(
        ...     backbone=dict(type='MetaSpikeFormer', embed_dims=[8, 8, 8, 8], depths=(1, 1), num_heads=2, T=2,
        ...                   out_indices=(1, 2, 4)),
        ...     neck=dict(type='FeaturePyramid', in_channels=[8, 8, 8], out_channels=16),
        ...     detection_head=dict(type='RetinaNetHead', in_channels=16, num_classes=2, anchor_sizes=[16, 32, 64]),
        ... ).eval()
        >>> (found,) = model(torch.rand(1, 3, 64, 64))
        >>> sorted(found)
        ['boxes', 'labels', 'scores']
    """

    def __init__(
        self,
        backbone: dict,
        detection_head: dict,
        neck: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = None if neck is None else MODELS.build(neck)
        self.detection_head = MODELS.build(detection_head)
        takes_time = getattr(self.detection_head, 'takes_time', False)
        self.without_time = () if takes_time else ('detection_head',)
        time = getattr(self.backbone, 'time', None)
        if time == 'mean' and takes_time:
            raise ConfigError(
                f'SpikingDetector: detection_head {type(self.detection_head).__name__} takes features with a '
                "time axis; set model.backbone.time = 'keep'"
            )
        if time == 'keep' and isinstance(self.neck, FeaturePyramid):
            raise ConfigError(
                'SpikingDetector: neck FeaturePyramid takes features averaged over time; set model.backbone.time = '
                "'mean', or SpikingFPN as the neck"
            )

    def features(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Return what the head takes of images (B, C, H, W).

        Returns:
            The levels, finest first, float32: (B, C_i, H_i, W_i), or (T, B, C_i, H_i, W_i) for a spiking head.
        """
        levels = self.backbone(inputs)
        if self.neck is not None:
            levels = self.neck(levels)
        ends = bool(self.without_time)
        return [(x.mean(0) if ends and x.dim() == 5 else x).float() for x in levels]

    def forward(
        self, inputs: torch.Tensor, data_samples: Sequence[BaseDataElement] | None = None, mode: str = 'tensor'
    ) -> Any:
        """Run the network in one of MMEngine's modes.

        Args:
            inputs: normalised images (B, C, H, W), padded at the right and at the bottom.
            data_samples: of each image, with `img_shape` (without the padding). For 'loss', with `gt_instances`, an
                `InstanceData` of bboxes (N, 4), labels (N,) and for masks also masks (N, H, W). For 'predict', with
                `ori_shape`, the size of the picture.
            mode: 'tensor', 'loss' or 'predict'.

        Returns:
            For 'tensor', for each image dict(boxes=(N, 4) in pixels of the input, scores=(N,), labels=(N,)), see the
            head. For 'loss', {name: loss}. For 'predict', the samples with `pred_instances`.

        Raises:
            ValueError: `mode` is another text.
            NonFiniteError: a prediction is NaN or infinite.
        """
        if mode == 'tensor':
            return self._run_head(inputs, data_samples)
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")

    def _run_head(self, inputs, samples, targets=None):
        padded = tuple(inputs.shape[-2:])
        sizes = [padded] * len(inputs) if samples is None else [tuple(sample.img_shape) for sample in samples]
        features = self.features(inputs)
        # boxes need more digits than the types of mixed precision have
        with torch.autocast(inputs.device.type, enabled=False):
            return self.detection_head(features, ImageList(inputs, sizes), targets)

    def loss(self, inputs: torch.Tensor, samples: Sequence[BaseDataElement]) -> dict[str, torch.Tensor]:
        """Return {name: loss}; the arguments are those of `forward`."""
        targets = []
        for sample in samples:
            truth = sample.gt_instances
            masks = dict(masks=truth.masks) if 'masks' in truth else {}
            targets.append(dict(boxes=truth.bboxes, labels=truth.labels, **masks))
        return self._run_head(inputs, samples, targets)

    def predict(self, inputs: torch.Tensor, samples: Sequence[BaseDataElement]) -> list[BaseDataElement]:
        """Add what is found to the samples, in pixels of their pictures.

        Args:
            inputs, samples: see `forward`.

        Returns:
            The samples. `pred_instances` is an `InstanceData` of bboxes (N, 4) as x1, y1, x2, y2, scores (N,) and
            labels (N,), best first, and for a head with masks masks (N, H, W), bool.

        Raises:
            NonFiniteError: a prediction is NaN or infinite.
        """
        try:
            results = self._run_head(inputs, samples)
        except NonFiniteError as error:
            pictures = ', '.join(printable(sample.get('img_path', 'a picture')) for sample in samples)
            raise NonFiniteError(f'{pictures}: {error}; its weights or this picture are not usable') from error
        for sample, found in zip(samples, results):
            size = tuple(sample.ori_shape)
            boxes = clip_boxes_to_image(resize_boxes(found['boxes'], tuple(sample.img_shape), size), size)
            instances = InstanceData(bboxes=boxes, scores=found['scores'], labels=found['labels'])
            if 'masks' in found:
                # one at a time: all of a large picture as float32 would take gigabytes
                instances.masks = torch.zeros(len(boxes), *size, dtype=torch.bool, device=boxes.device)
                for mask, probabilities, box in zip(instances.masks, found['masks'], boxes):
                    mask[:] = paste_masks_in_image(probabilities[None], box[None], size)[0, 0] > _MASK_THRESHOLD
            sample.pred_instances = instances
        return list(samples)
