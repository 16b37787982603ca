"""A segmentation that is the mean of several: of a picture at several scales, as it is and mirrored."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from a2sg_zoo.registry import MODELS


@MODELS.register_module()
class AveragedSegmentor(BaseTTAModel):
    """Predicts from several versions of each picture: the class with the largest mean probability wins.

        p = 1/N sum_i softmax(z_i),    prediction = argmax p

    z_i are the logits for version i at the size of the original picture, turned back if the version was mirrored. A
    network with one output channel has the probability sigmoid(z_i) of its one class.

    Args:
        module: the network, an `EncoderDecoder`, or its config.
    """

    def merge_preds(self, data_samples_list: Sequence[Sequence[SegDataSample]]) -> list[SegDataSample]:
        """Return one sample for each picture, with `seg_logits` = log p, which stays NaN where a version gives NaN.

        Args:
            data_samples_list: for each picture, the predictions of its versions.
        """
        return [self._merged(versions) for versions in data_samples_list]

    def _merged(self, versions: Sequence[SegDataSample]) -> SegDataSample:
        several = self.module.out_channels > 1
        logits = [version.seg_logits.data.float() for version in versions]
        p = sum(z.softmax(0) if several else z.sigmoid() for z in logits) / len(logits)
        prediction = p.argmax(0, keepdim=True) if several else (p > self.module.decode_head.threshold).long()
        merged = versions[0]
        merged.pred_sem_seg = PixelData(data=prediction)
        # finite where p underflows to 0
        merged.seg_logits = PixelData(data=p.clamp(min=torch.finfo(p.dtype).tiny).log() if several else p.logit(1e-7))
        return merged
