"""A classifier: a spiking backbone and a head, with the three modes that MMEngine's loops call."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torchvision.transforms import v2

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import MODELS, TRANSFORMS
from a2sg_zoo.utils.checks import integer, positive


@MODELS.register_module()
class SpikingClassifier(BaseModel):
    """A classifier of images, event frames or sequences that keeps the time axis of its logits until the loss.

    Args:
        backbone: config of a backbone with `time='keep'`; its last output is used.
        head: config of a head from (T, B, C, H, W), or (T, B, C) of sequences, to logits (T, B, classes), with a method
            `loss(logits, target)`.
        data_preprocessor: config; MMEngine's `ImgDataPreprocessor` normalises images on the device.
        encoder: config of an encoder, such as `dict(type='PoissonEncoder')`; see `a2sg_zoo.models.encoders`. None
            is the direct encoding.
        mixing: configs of transforms that mix the images of a batch and their labels during training; one of them is
            drawn for each batch. torchvision's are `dict(type='torchvision/MixUp', alpha=0.5)`, and CutMix likewise.
            The number of classes is the head's. The hook `StopMixing` ends the mixing at an iteration.
        test_cfg: `dict(T=2)` predicts with 2 time steps, whatever T the training uses; of event frames and sequences
            it takes the first 2. `dict(flip=True)` predicts by the mean of the logits of each image and its mirror
            image.
        init_cfg: MMEngine's config of the initial weights.

    Attributes:
        backbone: the backbone.
        head: the head.
        encoder: the encoder, or None.
        test_T: number of time steps of a prediction.
        test_flip: whether a prediction also looks at the mirror image.

    Raises:
        ConfigError: `backbone.time`, `test_cfg` or `mixing` has a value that it cannot have.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.classifiers import SpikingClassifier
        >>> model = SpikingClassifier(
        ...     backbone=dict(type='SpikingResNet', depths=(1,), widths=(8,), stem=8, T=2, time='keep'),
        ...     head=dict(type='LinearHead', in_channels=8, num_classes=10),
        ... ).eval()
        >>> images, labels = torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 2, 3])
        >>> model(images).shape  # (T, B, classes)
        torch.Size([2, 4, 10])
        >>> model(images, labels, mode='loss')['loss'].shape
        torch.Size([])
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        data_preprocessor: dict | None = None,
        mixing: Sequence[dict] = (),
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
        encoder: dict | None = None,
    ):
        super().__init__(data_preprocessor, init_cfg)
        self.encoder = None if encoder is None else MODELS.build(encoder)
        self.backbone = MODELS.build(backbone)
        self.head = MODELS.build(head)
        if getattr(self.backbone, 'time', 'keep') != 'keep':
            raise ConfigError(
                "SpikingClassifier: the head needs the output of every time step; set model.backbone.time = 'keep'"
            )
        test_cfg = test_cfg or {}
        unknown = set(test_cfg) - {'T', 'flip'}
        if unknown:
            raise ConfigError(
                f'SpikingClassifier: test_cfg has the unknown key {", ".join(sorted(unknown))}; its keys are T and flip'
            )
        self.test_T = integer('test_cfg.T', test_cfg.get('T', self.backbone.T), self)
        self.test_flip = test_cfg.get('flip', False)
        if not isinstance(self.test_flip, bool):
            raise ConfigError(f'SpikingClassifier: test_cfg.flip must be True or False, got {self.test_flip!r}')
        try:
            choices = [_build_mixing(step, self.head.num_classes) for step in mixing]
        except (TypeError, ValueError, KeyError) as error:
            raise ConfigError(f'SpikingClassifier: mixing: {error}') from error
        self.mix = v2.RandomChoice(choices) if choices else None

    def forward(
        self, inputs: torch.Tensor, data_samples: Any = None, mode: str = 'tensor', T: int | None = None
    ) -> Any:
        """Run the network in one of MMEngine's modes.

        Args:
            inputs: normalised images (B, C, H, W), event frames (B, T, C, H, W), or sequences (B, T, F).
            data_samples: labels (B,), for the modes 'loss' and 'predict'.
            mode: 'tensor', 'loss' or 'predict'.
            T: number of time steps, for the mode 'tensor'; by default that of the backbone.

        Returns:
            For 'tensor', logits (T, B, classes). For 'loss', dict(loss=scalar). For 'predict', a list with
            dict(logits=(T, classes), label=label) for each image.

        Raises:
            ValueError: `mode` is another text.
        """
        if mode == 'tensor':
            timed = _has_time(inputs)
            x = inputs.transpose(0, 1) if timed else inputs
            if self.encoder is not None:
                x = self.encoder(x, self.backbone.T if T is None else T, timed)
            return self.head(self.backbone(x, T)[-1])
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")

    def loss(self, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return dict(loss=scalar) of inputs, see `forward`, and labels (B,)."""
        if self.mix is not None:
            # the transforms take images, so the time steps of event frames count as channels
            mixed, labels = self.mix(inputs.unsqueeze(1) if inputs.dim() == 3 else inputs.flatten(1, -3), labels)
            inputs = mixed.view(inputs.shape)
        return dict(loss=self.head.loss(self(inputs), labels))

    def predict(self, inputs: torch.Tensor, labels: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Return dict(logits=(T, classes), label=label) for each of B samples, with T = `test_T` time steps."""
        logits = self.test_logits(inputs)
        return [dict(logits=z, label=label) for z, label in zip(logits.unbind(1), labels)]

    def test_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the inputs of a prediction: of event frames and sequences the first `test_T` time steps."""
        if _has_time(inputs) and inputs.shape[1] == self.backbone.T:  # the backbone reports any other number
            return inputs[:, : self.test_T]
        return inputs

    def test_logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits (T, B, classes) that a prediction takes, by `test_cfg`.

        Raises:
            ConfigError: `test_cfg.flip` is set, and the inputs are sequences.
        """
        inputs = self.test_inputs(inputs)
        logits = self(inputs, T=self.test_T)
        if not self.test_flip:
            return logits
        if inputs.dim() == 3:
            raise ConfigError('SpikingClassifier: test_cfg.flip is for images, and these inputs are sequences')
        return (logits + self(inputs.flip(-1), T=self.test_T)) / 2


def _has_time(inputs):
    """Whether a batch has a time axis, (B, T, F) or (B, T, C, H, W); the backbone reports any other wrong shape."""
    return inputs.dim() in (3, 5)


def _build_mixing(step, num_classes):
    alpha = step.get('alpha', 1.0)
    # torch.distributions checks this too, but not after torch._dynamo is imported
    positive('alpha', alpha, str(step.get('type')))
    return TRANSFORMS.build(dict(step, num_classes=num_classes))
