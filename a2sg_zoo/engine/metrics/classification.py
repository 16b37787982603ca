"""Scores of a classification."""

import torch
from mmengine.evaluator import BaseMetric

from a2sg_zoo.registry import METRICS


@METRICS.register_module()
class Accuracy(BaseMetric):
    """Shares of images classified rightly, in percent.

    `top1` and `top5` judge the mean of the logits over all time steps; `top1_t1`, `top1_t2`, ... the mean over the
    first 1, 2, ... steps: what an earlier end would have cost. The last of these equals `top1`. Where there are fewer
    than five classes, `top5` is 100.

    Takes, for each image, dict(logits=(T, classes), label=scalar tensor).

    Args:
        **kwargs: those of `mmengine.evaluator.BaseMetric`.
    """

    @classmethod
    def score_names(cls, **kwargs) -> list[str]:
        """Return the names of the scores of a metric with these arguments; see `score_names.score_names`."""
        return ['top1', 'top5', 'top1_t*']

    def process(self, data_batch, data_samples):
        logits = torch.stack([sample['logits'] for sample in data_samples]).float()
        labels = torch.stack([sample['label'] for sample in data_samples])
        sums = logits.cumsum(1)  # as good as means for an argmax
        first = sums.argmax(2) == labels[:, None]
        ranked = sums[:, -1].topk(min(5, logits.shape[2])).indices
        among_five = (ranked == labels[:, None]).any(1, keepdim=True)
        # on the host here, once a batch, and not as tensors of the device until the end
        self.results += torch.cat([among_five, first], 1).cpu().unbind()

    def compute_metrics(self, results):
        top5, *first = (100 * torch.stack(results).double().mean(0)).tolist()
        return dict(top1=first[-1], top5=top5, **{f'top1_t{t}': x for t, x in enumerate(first, 1)})
