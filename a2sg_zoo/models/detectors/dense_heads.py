"""torchvision's heads that judge every pixel of a pyramid: RetinaNet and FCOS."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torchvision.models import detection
from torchvision.models.detection import fcos, retinanet
from torchvision.models.detection.image_list import ImageList

from a2sg_zoo.models.detectors.common import Absent, check_predictions, make_anchors
from a2sg_zoo.registry import MODELS
from a2sg_zoo.utils.checks import integer


class DenseHead(nn.Module):
    """What RetinaNet and FCOS have in common: torchvision's class, without its backbone and its transform.

    Attributes:
        takes_time: whether the features have a time axis, (T, B, C, H_i, W_i).
    """

    takes_time = False

    head: nn.Module
    anchor_generator: Any
    postprocess_detections: Any

    def _finish(self, in_channels: int, levels: int, num_classes: int) -> None:
        del self.backbone, self.transform
        self.in_channels, self.num_classes = [in_channels] * levels, num_classes
        self.head.register_forward_hook(check_predictions)

    def enter(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the levels that both branches take, of the same heights and widths."""
        return list(features)

    def forward(
        self, features: Sequence[torch.Tensor], images: ImageList, targets: list[dict[str, torch.Tensor]] | None = None
    ) -> Any:
        """Return the losses where there are targets, and else what is found.

        Args:
            features: levels of the pyramid, (B, C, H_i, W_i), finest first; see `takes_time`.
            images: the padded batch, (B, 3, H, W), and the (height, width) of each picture in it.
            targets: of each picture, dict(boxes=(N, 4), labels=(N,)): x1, y1, x2, y2 in pixels, and labels from 0.

        Returns:
            {name: loss}; or for each picture dict(boxes=(N, 4), scores=(N,), labels=(N,)), best first.
        """
        levels = self.enter(features)
        outputs, anchors = self.head(levels), self.anchor_generator(images, levels)
        per_pixel = self.anchor_generator.num_anchors_per_location()[0]
        per_level = [x.shape[-2] * x.shape[-1] * per_pixel for x in levels]
        if targets is not None:
            return {f'loss_{name}': loss for name, loss in self._losses(targets, outputs, anchors, per_level).items()}
        split = {name: list(x.split(per_level, 1)) for name, x in outputs.items()}
        return self.postprocess_detections(split, [list(x.split(per_level)) for x in anchors], images.image_sizes)

    def _losses(self, targets, outputs, anchors, per_level):
        raise NotImplementedError


@MODELS.register_module()
class RetinaNetHead(DenseHead, detection.RetinaNet):
    """RetinaNet's head: focal loss on the classes of anchors, L1 loss on their boxes.

    Args:
        in_channels: channels of every level.
        num_classes: number of classes of objects.
        anchor_sizes: smallest side of the anchors of each level, in pixels of the input, finest level first. Their
            number is that of the levels.
        aspect_ratios: heights of anchors divided by widths.
        scales: sizes of anchors in each level, between its size and twice that.
        norm_groups: groups of the group norm after each convolution; 0 for no norm, as published.
        score_thresh: smallest score of a prediction.
        nms_thresh: overlap (IoU) from which of two predictions of a class the better one remains.
        detections_per_img: largest number of predictions in a picture.
        topk_candidates: largest number of candidates of a level.

    Source: Lin et al., ICCV 2017; torchvision's `RetinaNet`.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        anchor_sizes: Sequence[float] = (32, 64, 128, 256, 512),
        aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        scales: int = 3,
        norm_groups: int = 0,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        detections_per_img: int = 100,
        topk_candidates: int = 1000,
    ):
        anchors = make_anchors(anchor_sizes, aspect_ratios, self, scales)
        norm = partial(nn.GroupNorm, norm_groups) if integer('norm_groups', norm_groups, self, 0) else None
        head = retinanet.RetinaNetHead(in_channels, anchors.num_anchors_per_location()[0], num_classes, norm)
        super().__init__(
            Absent(in_channels),
            num_classes,
            anchor_generator=anchors,
            head=head,
            score_thresh=score_thresh,
            nms_thresh=nms_thresh,
            detections_per_img=detections_per_img,
            topk_candidates=topk_candidates,
        )
        self._finish(in_channels, len(anchor_sizes), num_classes)

    def _losses(self, targets, outputs, anchors, per_level):
        return self.compute_loss(targets, outputs, anchors)


@MODELS.register_module()
class FCOSHead(DenseHead, detection.FCOS):
    """FCOS' head: every pixel within an object gives its class, its distances to the box, and how central it is.

    Args:
        in_channels: channels of every level, a multiple of 32.
        num_classes: number of classes of objects.
        strides: of the levels, in pixels of the input, finest first. A level takes objects with a longest distance to a
            side of 4 to 8 strides; the first one takes smaller and the last one larger ones, too.
        num_convs: convolutions of each branch.
        center_sampling_radius: pixels that far from the centre of an object, in strides, are learnt as inside.
        score_thresh: smallest score of a prediction.
        nms_thresh: overlap (IoU) from which of two predictions of a class the better one remains.
        detections_per_img: largest number of predictions in a picture.
        topk_candidates: largest number of candidates of a level.

    Source: Tian et al., ICCV 2019; torchvision's `FCOS`.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        strides: Sequence[float] = (8, 16, 32, 64, 128),
        num_convs: int = 4,
        center_sampling_radius: float = 1.5,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.6,
        detections_per_img: int = 100,
        topk_candidates: int = 1000,
    ):
        super().__init__(
            Absent(in_channels),
            num_classes,
            anchor_generator=make_anchors(strides, (1.0,), self),
            head=fcos.FCOSHead(in_channels, 1, num_classes, num_convs),
            center_sampling_radius=center_sampling_radius,
            score_thresh=score_thresh,
            nms_thresh=nms_thresh,
            detections_per_img=detections_per_img,
            topk_candidates=topk_candidates,
        )
        self._finish(in_channels, len(strides), num_classes)

    def _losses(self, targets, outputs, anchors, per_level):
        return self.compute_loss(targets, outputs, anchors, per_level)
