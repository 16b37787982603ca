"""A language model: a backbone over the positions of a text, and a head that names the next symbol."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel, BaseModule
from torch import Tensor, nn

from a2sg_zoo.errors import ConfigError, NonFiniteError
from a2sg_zoo.registry import MODELS
from a2sg_zoo.utils.checks import integer, number


@MODELS.register_module()
class LanguageHead(BaseModule):
    """Logits of the next symbol at each position: z[t] = W LN(x[t]) + b, from (T, B, C) to (T, B, num_classes).

    Args:
        in_channels: channels C of the backbone's output.
        num_classes: number of symbols; 256 for bytes.
        init_cfg: MMEngine's config of the initial weights.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.language import LanguageHead
        >>> LanguageHead(in_channels=16)(torch.rand(12, 3, 16)).shape
        torch.Size([12, 3, 256])
    """

    def __init__(self, in_channels: int, num_classes: int = 256, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.in_channels, self.num_classes = in_channels, num_classes
        self.norm, self.linear = nn.LayerNorm(in_channels), nn.Linear(in_channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (T, B, C) to logits (T, B, num_classes)."""
        return self.linear(self.norm(x))


@MODELS.register_module()
class LanguageModel(BaseModel):
    """A language model over the symbols of a text, which are bytes in the shipped configs.

    Args:
        backbone: config of a backbone from symbols (T, B) to a tuple of outputs (T, B, C), with a method `advance`:
            `SpikeGPT`, `TextGRU` or `TextTransformer`. Its last output is used.
        head: config of a head from (T, B, C) to logits (T, B, num_classes).
        data_preprocessor: config of MMEngine's `BaseDataPreprocessor`, which moves a batch to the device.
        init_cfg: MMEngine's config of the initial weights.

    Attributes:
        backbone: the backbone.
        head: the head.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.language import LanguageModel
        >>> model = LanguageModel(
        ...     backbone=dict(type='SpikeGPT', embed_dims=32, depth=1, num_heads=2, T=16),
        ...     head=dict(type='LanguageHead', in_channels=32),
        ... ).eval()
        >>> text = torch.tensor([list(b'The import statement')])
        >>> model(text).shape  # (T, B, symbols)
        torch.Size([20, 1, 256])
        >>> len(bytes(model.generate(list(b'The '), length=5)))
        5
    """

    def __init__(
        self, backbone: dict, head: dict, data_preprocessor: dict | None = None, init_cfg: dict | None = None
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.head = MODELS.build(head)
        symbols = self.backbone.embedding.num_embeddings
        if symbols != self.head.num_classes:
            raise ConfigError(
                f'LanguageModel: backbone.vocabulary = {symbols}, but head.num_classes = {self.head.num_classes}; '
                'both are the number of symbols'
            )

    def forward(self, inputs: Tensor, data_samples: Tensor | None = None, mode: str = 'tensor') -> Any:
        """Run the network in one of MMEngine's modes.

        Args:
            inputs: symbols (B, T), integers.
            data_samples: the symbol that follows each of them, (B, T); -100 where the prediction does not count.
            mode: 'tensor', 'loss' or 'predict'.

        Returns:
            For 'tensor', logits (T, B, symbols). For 'loss', dict(loss=mean cross entropy in nats). For 'predict', a
            list with dict(logits=(T, symbols), target=(T,)) for each sequence.

        Raises:
            ValueError: `mode` is another text.
        """
        if mode not in ('tensor', 'loss', 'predict'):
            raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")
        logits = self.head(self.backbone(inputs.t())[-1])
        if mode == 'tensor':
            return logits
        assert data_samples is not None
        if mode == 'loss':
            # torch's cross entropy leaves out targets of -100
            return dict(loss=F.cross_entropy(logits.flatten(0, 1), data_samples.t().flatten()))
        return [dict(logits=z, target=target) for z, target in zip(logits.unbind(1), data_samples)]

    def advance(self, inputs: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Read the next symbols of texts.

        Args:
            inputs: symbols (B, T), integers; T may be 1.
            state: None at the start of a text, else what the call before returned.

        Returns:
            (logits (T, B, symbols), state for the next call).
        """
        y, state = self.backbone.advance(inputs.t(), state)
        return self.head(y), state

    @torch.no_grad()
    def generate(
        self, prompt: list[int], length: int, temperature: float = 1.0, seed: int | None = None
    ) -> Iterator[int]:
        """Continue a text, one symbol at a time.

        The network reads the prompt once. After that, a symbol costs one time step, because the states are carried.

        Args:
            prompt: symbols that the text begins with, at least one.
            length: number of new symbols.
            temperature: symbols are drawn from softmax(logits / temperature); 0 takes the most probable one.
            seed: of the draws; None for another text in each call.

        Yields:
            the new symbols.

        Raises:
            ConfigError: the prompt is empty or has an unknown symbol, or `length` or `temperature` is out of its range.
            NonFiniteError: the logits are NaN or infinite.
        """
        integer('length', length, self)
        number('temperature', temperature, self, 0)
        if not prompt or not all(0 <= symbol < self.head.num_classes for symbol in prompt):
            raise ConfigError(
                f'LanguageModel: prompt must hold one or more symbols from 0 to {self.head.num_classes - 1}'
            )
        device = self.head.linear.weight.device
        generator = torch.Generator(device)
        generator.manual_seed(seed % 2**63) if seed is not None else generator.seed()
        state = None
        # in pieces, because the memory of all positions at once grows with their square
        for piece in torch.tensor([prompt], device=device).split(self.backbone.T, 1):
            logits, state = self.advance(piece, state)
        for _ in range(length):
            scores = logits[-1, 0].float()
            if not scores.isfinite().all():
                raise NonFiniteError('the network answers with NaN or infinity; its weights are not usable')
            if temperature:
                # a smaller temperature would lead to infinity
                shares = torch.softmax(scores / max(temperature, 1e-30), 0)
                symbol = torch.multinomial(shares, 1, generator=generator)
            else:
                symbol = scores.argmax(keepdim=True)
            yield int(symbol)
            logits, state = self.advance(symbol[None], state)
