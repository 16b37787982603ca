"""A spiking head that predicts masks and classifies each of them, in the manner of Spike2Former."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from scipy.optimize import linear_sum_assignment
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers import MembraneMLP, check_heads, token_bn
from a2sg_zoo.models.segmentors.spiking_fpn import SpikingConv
from a2sg_zoo.registry import MODELS, NEURONS

Predictions = tuple[torch.Tensor, torch.Tensor]


class MaskedAttention(nn.Module):
    """Spiking attention of queries x to tokens f, where each query sees the tokens of its own mask.

        Q = fire(BN(W_q fire(x))),    K = fire(BN(W_k fire(f))), V alike
        y = BN(W fire((Q K^T * M) V)),    M[q, n] = 1 / (tokens that q sees) where q sees n, and 0 elsewhere

    There is no softmax. Input and output are membrane potentials.

    Args:
        dim: channels C.
        heads: number of attention heads; it divides C.
        neuron: config of the neurons.

    Source: masks of Cheng et al., Mask2Former, CVPR 2022; attention of Zhou et al., Spikformer, ICLR 2023.
    """

    def __init__(self, dim: int, heads: int, neuron: dict):
        super().__init__()
        self.heads = check_heads(dim, heads)
        self.q, self.k, self.v, self.proj = (token_bn(dim, dim, bias=False) for _ in range(4))
        self.x_neuron, self.f_neuron = NEURONS.build(neuron), NEURONS.build(neuron)
        self.q_neuron, self.k_neuron, self.v_neuron = (NEURONS.build(neuron) for _ in range(3))
        self.attn_neuron = NEURONS.build({**neuron, 'v_threshold': 0.5})

    def forward(self, x: torch.Tensor, f: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Map queries x (T, B, C, Q) and tokens f (T, B, C, N) to (T, B, C, Q).

        Args:
            x: potentials of the queries.
            f: potentials of the tokens.
            weights: M, (B, Q, N); by default each query sees all tokens.
        """
        s = self.f_neuron(f)
        q = self.q_neuron(self.q(self.x_neuron(x)))
        k, v = self.k_neuron(self.k(s)), self.v_neuron(self.v(s))
        q, k, v = (y.unflatten(2, (self.heads, -1)) for y in (q, k, v))
        products = q.transpose(-1, -2) @ k
        products = products / k.shape[-1] if weights is None else products * weights[:, None]
        return self.proj(self.attn_neuron((v @ products.transpose(-1, -2)).flatten(2, 3)))


class MaskPredictor(nn.Module):
    """A class and a mask for each query.

    Args:
        dim: channels C.
        num_classes: without the class 'no object', which is the last.
        neuron: config of the neurons.
    """

    def __init__(self, dim: int, num_classes: int, neuron: dict):
        super().__init__()
        self.neuron, self.classify = NEURONS.build(neuron), nn.Linear(dim, num_classes + 1)
        self.embed = MembraneMLP(dim, dim, lambda: NEURONS.build(neuron))

    def forward(self, x: torch.Tensor, pixels: torch.Tensor) -> Predictions:
        """Map queries x (T, B, C, Q) and pixels (B, C, H, W) to logits (B, Q, classes + 1), (B, Q, H, W)."""
        classes = self.classify(self.neuron(x).mean(0).transpose(1, 2))
        return classes, torch.einsum('bcq,bchw->bqhw', self.embed(x).mean(0), pixels)


@MODELS.register_module()
class SpikingMaskHead(BaseDecodeHead):
    """Predict masks, and classify each of them.

    Learned queries pass layers of masked attention to one level of the features, from the coarsest to the finest and
    from the start again, of self-attention among the queries, and of a multilayer perceptron, all with spikes at the
    input of every layer. After each layer, a query gives logits of the classes and of a mask; the mask is the product
    of an embedding of the query, averaged over time, with the features of the finest level, averaged over time.

    In training, queries are matched to the classes of the picture with the least cost, and each layer is trained:
    cross entropy of the classes, and cross entropy and dice loss of the masks at sampled points, three quarters of
    which are where the mask is least certain. Pixels with the label `ignore_index` do not count.

    The logits of a pixel are log sum_q softmax(classes_q) sigmoid(mask_q), so their softmax are the shares of the sum.

    It departs from Mask2Former in that the levels get no positional encoding (their convolutions see the borders),
    predictors are not shared by the layers (a spiking neuron has a window in one place), and attention has no softmax.

    Args:
        in_channels: channels of each level, finest first, all the same: those of a feature pyramid.
        channels: channels C of the queries.
        num_classes: number of classes.
        in_index: levels to use, finest first; the finest is for the masks, the others for the attention.
        num_queries: number of queries Q.
        num_layers: number of layers, at least one for each level of the attention.
        num_heads: attention heads.
        num_points: points at which masks are compared, for each picture.
        loss_weights: of the classes, of the masks' cross entropy, and of the dice loss.
        no_object: weight of the class 'no object' in the cross entropy.
        ignore_index: label of pixels without a class.
        align_corners: how predictions are resized, see `torch.nn.functional.interpolate`.
        neuron: config of the neurons.

    Raises:
        ConfigError: there are fewer layers than levels for them.

    Source: Cheng et al., Mask2Former, CVPR 2022; Lei et al., Spike2Former, AAAI 2025, for spikes in it.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.segmentors import SpikingMaskHead
        >>> head = SpikingMaskHead(in_channels=[8, 8], channels=8, num_classes=3, in_index=[0, 1], num_heads=2)
        >>> head([torch.rand(2, 1, 8, 16, 16), torch.rand(2, 1, 8, 8, 8)]).shape
        torch.Size([1, 3, 16, 16])
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        num_classes: int,
        in_index: Sequence[int] = (0, 1, 2, 3),
        num_queries: int = 100,
        num_layers: int = 3,
        num_heads: int = 8,
        num_points: int = 4096,
        loss_weights: Sequence[float] = (2.0, 5.0, 5.0),
        no_object: float = 0.1,
        ignore_index: int = 255,
        align_corners: bool = False,
        neuron: dict = dict(type='LIF', tau=2.0),
    ):
        super().__init__(
            in_channels=list(in_channels),
            channels=channels,
            num_classes=num_classes,
            in_index=list(in_index),
            input_transform='multiple_select',
            ignore_index=ignore_index,
            align_corners=align_corners,
            init_cfg=None,
        )
        if num_layers < len(self.in_channels) - 1:
            raise ConfigError(
                f'SpikingMaskHead: num_layers = {num_layers} layers cannot look at the {len(self.in_channels) - 1} '
                'coarser levels of in_index; add layers, or leave out levels'
            )
        del self.conv_seg, self.loss_decode  # the masks take their place
        self.num_points, self.loss_weights, self.no_object = num_points, tuple(loss_weights), no_object
        self.queries = nn.Parameter(torch.randn(channels, num_queries))
        self.laterals = nn.ModuleList(SpikingConv(c, channels, 1, neuron) for c in self.in_channels)
        layers = range(num_layers)
        self.cross = nn.ModuleList(MaskedAttention(channels, num_heads, neuron) for _ in layers)
        self.among = nn.ModuleList(MaskedAttention(channels, num_heads, neuron) for _ in layers)
        self.mlps = nn.ModuleList(MembraneMLP(channels, 4 * channels, lambda: NEURONS.build(neuron)) for _ in layers)
        self.predictors = nn.ModuleList(MaskPredictor(channels, num_classes, neuron) for _ in range(num_layers + 1))

    def masks(self, inputs: Sequence[torch.Tensor]) -> list[Predictions]:
        """Logits of the queries before the first layer and after each layer.

        Args:
            inputs: levels (T, B, C_i, H_i, W_i), finest first.

        Returns:
            [(classes (B, Q, num_classes + 1), masks (B, Q, H, W)), ...], of the finest level's size.
        """
        finest, *levels = [lateral(x) for lateral, x in zip(self.laterals, self._transform_inputs(inputs))]
        levels = levels[::-1] or [finest]
        pixels = finest.mean(0)
        x = self.queries.expand(*finest.shape[:2], *self.queries.shape)
        predictions = [self.predictors[0](x, pixels)]
        for i, (cross, among, mlp, predict) in enumerate(zip(self.cross, self.among, self.mlps, self.predictors[1:])):
            level = levels[i % len(levels)]
            x = x + cross(x, level.flatten(3), attention_weights(predictions[-1][1], level.shape[-2:]))
            x = x + among(x, x)
            x = x + mlp(x)
            predictions.append(predict(x, pixels))
        return predictions

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Map the levels (T, B, C_i, H_i, W_i) to logits (B, num_classes, H, W) of the finest level's size."""
        classes, masks = self.masks(inputs)[-1]
        scores = torch.einsum('bqk,bqhw->bkhw', classes.softmax(-1)[..., :-1], masks.sigmoid())
        return scores.clamp(min=1e-6).log()

    def loss(self, inputs: Sequence[torch.Tensor], batch_data_samples: list, train_cfg: Any) -> dict[str, torch.Tensor]:
        """Losses of a batch, see the class.

        Args:
            inputs: levels (T, B, C_i, H_i, W_i), finest first.
            batch_data_samples: `SegDataSample`s with `gt_sem_seg`.
            train_cfg: not used.

        Returns:
            {loss_class, loss_mask, loss_dice}, the sums over the layers.
        """
        labels = self._stack_batch_gt(batch_data_samples).squeeze(1)
        targets = [picture_masks(picture, self.ignore_index) for picture in labels]
        # the mean over the processes of the number of masks
        count = torch.tensor(float(sum(len(classes) for classes, _, _ in targets)), device=labels.device)
        all_reduce(count, 'mean')
        layers = [self._layer_loss(*prediction, targets, count.clamp(min=1)) for prediction in self.masks(inputs)]
        sums = [sum(parts) for parts in zip(*layers)]
        return {
            name: weight * value
            for name, weight, value in zip(('loss_class', 'loss_mask', 'loss_dice'), self.loss_weights, sums)
        }

    def _layer_loss(self, classes, masks, targets, count):
        """(cross entropy of the classes, cross entropy of the masks, dice loss) of one layer."""
        wanted = torch.full(classes.shape[:2], self.num_classes, device=classes.device)
        entropy = dice = 0.0 * masks.sum()  # pictures without a label need no masks
        for i, (labels, truth, valid) in enumerate(targets):
            if not len(labels):
                continue
            with torch.no_grad():
                points = torch.rand(1, self.num_points, 2, device=masks.device)
                cost = matching_cost(
                    classes[i],
                    sampled(masks[i], points),
                    labels,
                    sampled(truth, points),
                    sampled(valid, points),
                    self.loss_weights,
                )
            # a network that diverges gets some pairs, and a loss that is NaN, which the guard of the training reports
            pairs = linear_sum_assignment(cost.nan_to_num().cpu())
            queries, found = (torch.as_tensor(x, device=masks.device) for x in pairs)
            wanted[i, queries] = labels[found]
            logits, truth = masks[i, queries], truth[found]
            points = uncertain_points(logits, self.num_points)
            at, goal, weight = (sampled(x, points) for x in (logits, truth, valid.expand_as(truth)))
            each = F.binary_cross_entropy_with_logits(at, goal, weight, reduction='none').sum(1)
            entropy = entropy + (each / weight.sum(1).clamp(min=1)).sum()
            dice = dice + dice_loss(at.sigmoid() * weight, goal * weight).sum()
        weights = torch.ones(self.num_classes + 1, device=classes.device)
        weights[-1] = self.no_object
        return F.cross_entropy(classes.flatten(0, 1).float(), wanted.flatten(), weights), entropy / count, dice / count


@torch.no_grad()
def attention_weights(masks: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """M of `MaskedAttention`: a query sees the tokens where its mask is positive, or all where it is positive nowhere.

    Args:
        masks: logits (B, Q, H, W).
        size: height and width of the level; N = height * width.

    Returns:
        (B, Q, N); each row sums to 1.

    Example:
        >>> attention_weights(torch.tensor([[[[1.0, 1.0], [-1.0, -1.0]]]]), (2, 2))
        tensor([[[0.5000, 0.5000, 0.0000, 0.0000]]])
    """
    seen = F.interpolate(masks, tuple(size), mode='bilinear', align_corners=False).flatten(2) > 0
    seen = seen | ~seen.any(-1, keepdim=True)
    return seen / seen.sum(-1, keepdim=True).to(masks.dtype)


def picture_masks(labels: torch.Tensor, ignore_index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(classes (n), their masks (n, H, W), mask (1, H, W) of the pixels with a label) of labels (H, W).

    Example:
        >>> picture_masks(torch.tensor([[0, 0], [2, 255]]), 255)[0]
        tensor([0, 2])
    """
    valid = labels != ignore_index
    classes = labels[valid].unique()
    return classes, (labels == classes[:, None, None]).float(), valid[None].float()


def sampled(masks: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Values of masks (n, H, W) at points (n or 1, P, 2), x and y in 0..1: (n, P), bilinear."""
    grid = (2 * points - 1).to(masks.dtype).expand(len(masks), -1, -1)
    return F.grid_sample(masks[:, None], grid[:, None], align_corners=False, padding_mode='border')[:, 0, 0]


@torch.no_grad()
def uncertain_points(masks: torch.Tensor, count: int) -> torch.Tensor:
    """Points (n, count, 2) for masks of logits (n, H, W): three quarters are the least certain of 3 * count random
    points, the others are random.

    Source: Kirillov et al., PointRend, CVPR 2020.
    """
    points = torch.rand(len(masks), 3 * count, 2, device=masks.device)
    kept = sampled(masks, points).abs().topk(count - count // 4, 1, largest=False).indices
    chosen = points.gather(1, kept[..., None].expand(-1, -1, 2))
    return torch.cat([chosen, torch.rand(len(masks), count // 4, 2, device=masks.device)], 1)


def dice_loss(masks: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """1 - (2 sum(m t) + 1) / (sum(m) + sum(t) + 1) of masks m and truth t (n, P) in 0..1: (n)."""
    return 1 - (2 * (masks * truth).sum(1) + 1) / (masks.sum(1) + truth.sum(1) + 1)


def matching_cost(
    classes: torch.Tensor,
    masks: torch.Tensor,
    labels: torch.Tensor,
    truth: torch.Tensor,
    valid: torch.Tensor,
    weights: Sequence[float],
) -> torch.Tensor:
    """Cost of each pair of query and class of the picture, (Q, n).

    Args:
        classes: logits (Q, num_classes + 1).
        masks: logits of the masks at P points, (Q, P).
        labels: classes of the picture, (n).
        truth: their masks at the points, (n, P).
        valid: where the points have a label, (1, P).
        weights: of the probability of the class, of the cross entropy, and of the dice loss.
    """
    probability = -classes.float().softmax(-1)[:, labels]
    masks = masks.float()
    inside, outside = F.softplus(-masks) * valid, F.softplus(masks) * valid  # cross entropy where truth is 1 and 0
    entropy = (inside @ truth.T + outside @ (1 - truth).T) / valid.sum().clamp(min=1)
    shares, goal = masks.sigmoid() * valid, truth * valid
    dice = 1 - (2 * shares @ goal.T + 1) / (shares.sum(1)[:, None] + goal.sum(1) + 1)
    return weights[0] * probability + weights[1] * entropy + weights[2] * dice
