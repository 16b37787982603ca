"""torchvision's heads in two stages, which propose regions and judge each of them: Faster R-CNN and Mask R-CNN."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from a2sg_zoo.models.detectors.common import Absent, check_predictions, make_anchors
from a2sg_zoo.registry import MODELS

# name of the padded batch among the levels
_PADDED = 'padded'


class _RegionHead(nn.Module):
    """What Faster and Mask R-CNN have in common: torchvision's class, without its backbone and its transform."""

    rpn: Any
    roi_heads: Any

    def _finish(self, in_channels: int, levels: int, num_classes: int) -> None:
        del self.backbone, self.transform
        self.in_channels, self.num_classes = [in_channels] * levels, num_classes
        for part in (self.rpn.head, self.roi_heads.box_predictor, self.roi_heads.mask_predictor):
            if part is not None:
                part.register_forward_hook(check_predictions)

    def forward(
        self, features: Sequence[torch.Tensor], images: ImageList, targets: list[dict[str, torch.Tensor]] | None = None
    ) -> Any:
        """Return the losses where there are targets, and else what is found.

        Args:
            features: levels of the pyramid, (B, C, H_i, W_i), finest first.
            images: the padded batch, (B, 3, H, W), and the (height, width) of each picture in it.
            targets: of each picture, dict(boxes=(N, 4), labels=(N,)): x1, y1, x2, y2 in pixels, and labels from 0; for
                Mask R-CNN also masks=(N, H, W), uint8.

        Returns:
            {name: loss}; or for each picture dict(boxes=(N, 4), scores=(N,), labels=(N,)), best first, and for Mask
            R-CNN masks=(N, 1, 28, 28), the probabilities within each box.
        """
        named = OrderedDict((str(i), x) for i, x in enumerate(features))
        # torchvision's two stages ask for their mode whether there are targets
        self.rpn.training = self.roi_heads.training = targets is not None
        if targets is not None:  # its label 0 is the background
            targets = [{**target, 'labels': target['labels'] + 1} for target in targets]
        proposals, losses = self.rpn(images, named, targets)
        found, more = self.roi_heads({**named, _PADDED: images.tensors}, proposals, images.image_sizes, targets)
        if targets is not None:
            return {**more, **losses}
        return [{**picture, 'labels': picture['labels'] - 1} for picture in found]


class _RegionPool(MultiScaleRoIAlign):
    """Reads regions from all levels but the last, which is for large proposals alone.

    torchvision's class takes the strides of the levels from the first batch that it sees, without the padding. Here
    they come from each batch, as it is padded.
    """

    def __init__(self, levels: int, size: int):
        super().__init__([str(i) for i in range(max(1, levels - 1))], size, sampling_ratio=2)

    def forward(self, x, boxes, image_shapes):
        self.scales = self.map_levels = None
        return super().forward(x, boxes, [tuple(x[_PADDED].shape[-2:])])


def _boxes(
    in_channels: int, num_classes: int, levels: int, fc_channels: int, proposals: Sequence[int]
) -> dict[str, Any]:
    """The part of both heads that proposes regions and gives their classes and boxes, as torchvision's arguments."""
    return dict(
        rpn_pre_nms_top_n_train=proposals[0],
        rpn_pre_nms_top_n_test=proposals[1],
        rpn_post_nms_top_n_train=proposals[0],
        rpn_post_nms_top_n_test=proposals[1],
        box_roi_pool=_RegionPool(levels, 7),
        box_head=TwoMLPHead(in_channels * 7**2, fc_channels),
        box_predictor=FastRCNNPredictor(fc_channels, num_classes + 1),
    )


@MODELS.register_module()
class FasterRCNNHead(_RegionHead, detection.FasterRCNN):
    """Faster R-CNN's head: a region proposal network, and a perceptron on each proposal.

    Args:
        in_channels: channels of every level.
        num_classes: number of classes of objects.
        anchor_sizes: side of the anchors of each level, in pixels of the input, finest level first. Their number is
            that of the levels. Proposals are read from all levels but the last.
        aspect_ratios: heights of anchors divided by widths.
        fc_channels: channels of the perceptron.
        proposals: numbers of proposals of a picture that are judged, in training and in evaluation.
        score_thresh: smallest score of a prediction.
        nms_thresh: overlap (IoU) from which of two predictions of a class the better one remains.
        detections_per_img: largest number of predictions in a picture.

    Source: Ren et al., NeurIPS 2015, with the pyramid of Lin et al., CVPR 2017; torchvision's `FasterRCNN`.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        anchor_sizes: Sequence[float] = (32, 64, 128, 256, 512),
        aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        fc_channels: int = 1024,
        proposals: Sequence[int] = (2000, 1000),
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        detections_per_img: int = 100,
    ):
        levels = len(anchor_sizes)
        super().__init__(
            Absent(in_channels),
            rpn_anchor_generator=make_anchors(anchor_sizes, aspect_ratios, self),
            **_boxes(in_channels, num_classes, levels, fc_channels, proposals),
            box_score_thresh=score_thresh,
            box_nms_thresh=nms_thresh,
            box_detections_per_img=detections_per_img,
        )
        self._finish(in_channels, levels, num_classes)


@MODELS.register_module()
class MaskRCNNHead(_RegionHead, detection.MaskRCNN):
    """Mask R-CNN's head: Faster R-CNN's, and convolutions that give the mask of each object.

    Args:
        in_channels, num_classes, anchor_sizes, aspect_ratios, fc_channels, proposals, score_thresh, nms_thresh,
            detections_per_img: see `FasterRCNNHead`.
        mask_channels: channels of the four convolutions for masks.

    Source: He et al., ICCV 2017; torchvision's `MaskRCNN`.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        anchor_sizes: Sequence[float] = (32, 64, 128, 256, 512),
        aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        fc_channels: int = 1024,
        proposals: Sequence[int] = (2000, 1000),
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        detections_per_img: int = 100,
        mask_channels: int = 256,
    ):
        levels = len(anchor_sizes)
        super().__init__(
            Absent(in_channels),
            rpn_anchor_generator=make_anchors(anchor_sizes, aspect_ratios, self),
            **_boxes(in_channels, num_classes, levels, fc_channels, proposals),
            box_score_thresh=score_thresh,
            box_nms_thresh=nms_thresh,
            box_detections_per_img=detections_per_img,
            mask_roi_pool=_RegionPool(levels, 14),
            mask_head=MaskRCNNHeads(in_channels, (mask_channels,) * 4, 1),
            mask_predictor=MaskRCNNPredictor(mask_channels, mask_channels, num_classes + 1),
        )
        self._finish(in_channels, levels, num_classes)
