"""A spiking backbone and a head, in the modes that MMEngine's loops ask for."""

import math

from mmengine.model import BaseModel
from torchvision.transforms import v2

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers.time_folded import check_time_steps
from a2sg_zoo.registry import MODELS, TRANSFORMS


@MODELS.register_module()
class SpikingClassifier(BaseModel):
    """An image classifier whose logits keep their time axis up to the loss.

    Args:
        backbone: config of a backbone with `time='keep'`; its last output is used.
        head: config of a head, (T, B, C, H, W) -> logits (T, B, classes), with a `loss(logits, target)`.
        data_preprocessor: config; MMEngine's `ImgDataPreprocessor` normalises on the device.
        mixing: configs of transforms that mix the images of a batch and their labels, in training; one of them is
            drawn for each batch. torchvision's: `dict(type='torchvision/MixUp', alpha=0.5)`, and CutMix likewise. The
            number of classes is the head's. See `StopMixing` for an end to it.
        test_cfg: `dict(T=2)` predicts with 2 time steps, whatever number the training has; of event frames it takes
            the first 2.
        init_cfg: MMEngine's.
    """

    def __init__(self, backbone, head, data_preprocessor=None, mixing=(), test_cfg=None, init_cfg=None):
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.head = MODELS.build(head)
        if getattr(self.backbone, 'time', 'keep') != 'keep':
            raise ConfigError(
                "SpikingClassifier: its head takes the output of every time step; set model.backbone.time = 'keep'"
            )
        unknown = set(test_cfg or {}) - {'T'}
        if unknown:
            raise ConfigError(f'SpikingClassifier: test_cfg has {", ".join(sorted(unknown))}; it takes T')
        self.test_T = check_time_steps((test_cfg or {}).get('T', self.backbone.T), self)
        try:
            choices = [_build_mixing(step, self.head.num_classes) for step in mixing]
        except (TypeError, ValueError, KeyError) as error:
            raise ConfigError(f'SpikingClassifier: mixing: {error}') from error
        self.mix = v2.RandomChoice(choices) if choices else None

    def forward(self, inputs, data_samples=None, mode='tensor'):
        """Args:
            inputs: images (B, C, H, W), normalised, or event frames (B, T, C, H, W).
            data_samples: labels (B,).
            mode: what to return.

        Returns:
            'tensor': logits (T, B, classes); 'loss': dict(loss=scalar); 'predict': for each image
            dict(logits=(T, classes), label=its label).
        """
        if mode == 'tensor':
            return self.head(self.backbone(inputs.transpose(0, 1) if inputs.dim() == 5 else inputs)[-1])
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")

    def loss(self, inputs, labels):
        if self.mix is not None:
            # the time steps of event frames pass for channels: what is mixed are samples
            mixed, labels = self.mix(inputs.flatten(1, -3), labels)
            inputs = mixed.view(inputs.shape)
        return dict(loss=self.head.loss(self(inputs), labels))

    def predict(self, inputs, labels):
        trained, self.backbone.T = self.backbone.T, self.test_T
        if inputs.dim() == 5 and inputs.shape[1] == trained:  # any other number is a mistake, which the backbone names
            inputs = inputs[:, : self.test_T]
        try:
            logits = self(inputs)
        finally:
            self.backbone.T = trained
        return [dict(logits=z, label=label) for z, label in zip(logits.unbind(1), labels)]


def _build_mixing(step, num_classes):
    alpha = step.get('alpha', 1.0)
    # torch.distributions would say so itself, had importing torch._dynamo not switched its checks off
    if not (isinstance(alpha, (int, float)) and 0 < alpha < math.inf):
        raise ValueError(f'alpha must be a positive number, got {alpha!r}')
    return TRANSFORMS.build(dict(step, num_classes=num_classes))
