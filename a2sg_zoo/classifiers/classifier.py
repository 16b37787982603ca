"""A spiking backbone and a head, in the modes that MMEngine's loops ask for."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.layers.folded import check_time_steps
from a2sg_zoo.registry import MODELS


@MODELS.register_module()
class SpikingClassifier(BaseModel):
    """An image classifier whose logits keep their time axis up to the loss.

    Args:
        backbone: config of a backbone with `time='keep'`; its last output is used.
        head: config of a head, (T, B, C, H, W) -> logits (T, B, classes), with a `loss(logits, target)`.
        data_preprocessor: config; MMEngine's `ImgDataPreprocessor` normalises on the device.
        mixup: alpha of mixup, x' = l x + (1 - l) x_reversed with one l ~ Beta(alpha, alpha) a batch, and the targets
            likewise (Zhang et al., ICLR 2018); 0 for none.
        test_cfg: `dict(T=2)` predicts with 2 time steps, whatever number the training has; of event frames it takes
            the first 2.
        init_cfg: MMEngine's.
    """

    def __init__(self, backbone, head, data_preprocessor=None, mixup=0, test_cfg=None, init_cfg=None):
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.head = MODELS.build(head)
        if getattr(self.backbone, 'time', 'keep') != 'keep':
            raise ConfigError("SpikingClassifier: its head takes the output of every time step; set "
                              "model.backbone.time = 'keep'")
        unknown = set(test_cfg or {}) - {'T'}
        if unknown:
            raise ConfigError(f'SpikingClassifier: test_cfg has {", ".join(sorted(unknown))}; it takes T')
        self.test_T = check_time_steps((test_cfg or {}).get('T', self.backbone.T), self)
        if isinstance(mixup, bool) or not isinstance(mixup, (int, float)) or mixup < 0:
            raise ConfigError(f'SpikingClassifier: mixup must be a number, 0 or greater, got {mixup!r}')
        self.mixup = float(mixup)

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
        if self.mixup:
            # on the host: StepSeedHook seeds it, and no transfer holds up the device
            share = torch.distributions.Beta(self.mixup, self.mixup).sample().item()
            labels = F.one_hot(labels, self.head.num_classes).to(inputs.dtype)
            inputs, labels = (share * x + (1 - share) * x.flip(0) for x in (inputs, labels))
        return dict(loss=self.head.loss(self(inputs), labels))

    def predict(self, inputs, labels):
        trained, self.backbone.T = self.backbone.T, self.test_T
        if inputs.dim() == 5 and inputs.shape[1] == trained:  # any other number is a mistake, which the backbone names
            inputs = inputs[:, :self.test_T]
        try:
            logits = self(inputs)
        finally:
            self.backbone.T = trained
        return [dict(logits=z, label=label) for z, label in zip(logits.unbind(1), labels)]
