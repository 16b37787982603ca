"""Scores of a language model."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.evaluator import BaseMetric
from torch import Tensor

from a2sg_zoo.errors import DataError, NonFiniteError
from a2sg_zoo.registry import METRICS


@METRICS.register_module()
class BitsPerCharacter(BaseMetric):
    """How many bits a language model needs for a character of the text, on average.

    - `bits_per_character`: -sum log2 p(byte) / characters, with p(byte) the probability that the model gives to the
      byte that comes. A character of UTF-8 has one byte in English text, and up to four elsewhere.
    - `bits_per_byte`: the same sum / bytes.
    - `perplexity`: 2 ** bits_per_byte: the model is as unsure as if it chose among so many bytes of equal probability.
    - `top1`: share of the bytes that are the most probable one, in percent.
    - `bytes`: number of bytes that were predicted.

    Takes, for each sequence, dict(logits=(T, 256), target=(T,)). Targets of -100 do not count. Sums are in float64.

    Args:
        **kwargs: those of `mmengine.evaluator.BaseMetric`.
    """

    @classmethod
    def score_names(cls, **kwargs: Any) -> list[str]:
        """Return the names of the scores of a metric with these arguments; see `score_names.score_names`."""
        return ['bits_per_character', 'bits_per_byte', 'perplexity', 'top1', 'bytes']

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Tensor]]) -> None:
        """Adds up what the predictions of a batch cost.

        Args:
            data_batch: not used.
            data_samples: of each sequence, dict(logits=(T, symbols), target=(T,)).

        Raises:
            NonFiniteError: the logits of a prediction are NaN or infinite.
        """
        for sample in data_samples:
            logits, target = sample['logits'].double(), sample['target']
            counts = target >= 0
            logits, target = logits[counts], target[counts]
            nats = F.cross_entropy(logits, target, reduction='sum')
            right = (logits.argmax(1) == target).sum()
            # bytes 0x80 to 0xBF continue a character
            characters = ((target < 0x80) | (target >= 0xC0)).sum()
            row = torch.stack([nats, *(x.to(nats) for x in (right, characters, counts.sum()))]).cpu()
            if not row.isfinite().all():
                raise NonFiniteError(
                    f'the network answers with NaN or infinity for sequence {len(self.results)} of the evaluation (of '
                    'this process, from 0); its weights are not usable'
                )
            self.results.append(row)

    def compute_metrics(self, results: Sequence[Tensor]) -> dict[str, float]:
        """The scores of the whole text.

        Raises:
            DataError: there is no prediction that counts.
        """
        sums = torch.stack(list(results)).sum(0).tolist() if results else [0.0] * 4
        nats, right, characters, symbols = sums
        if not characters:
            raise DataError('nothing was evaluated: the data set has no character to predict')
        bits = nats / math.log(2)
        return dict(
            bits_per_character=bits / characters,
            bits_per_byte=bits / symbols,
            perplexity=2 ** min(bits / symbols, 1023.0),  # the largest power of 2 that a float holds
            top1=100 * right / symbols,
            bytes=symbols,
        )
