"""A text in, more of it out: what a notebook asks of a language model.

from a2sg_zoo import TextGenerator
print(TextGenerator(NAME)('The import statement', length=200, temperature=0.8, seed=0))
"""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device

from a2sg_zoo.datasets.text import encoded
from a2sg_zoo.errors import ConfigError, DataError, printable
from a2sg_zoo.hub.pretrained import locate
from a2sg_zoo.hub.published import load


class TextGenerator:
    """Continues a text with a language model.

    Args:
        model: name in the zoo, a file of `tools/publish.py`, or a checkpoint of `tools/train.py`.
        device: such as 'cuda:0'; by default the first accelerator, or else the CPU.

    Attributes:
        model: the network, a `LanguageModel`.
        description: what the weight file says of it, a `Description`.

    Raises:
        ConfigError: the zoo has no such name, the network is no language model, or the device is not there.
        CheckpointError: the weights cannot be had or read.
    """

    task = 'language'

    def __init__(self, model: str | Path, device: str | torch.device | None = None) -> None:
        self.model: Any
        self.model, self.description = load(locate(model), device or get_device())
        if self.description.task != self.task:
            raise ConfigError(f'{model} is for {self.description.task}, but TextGenerator needs a language model')

    def __call__(self, prompt: str, length: int = 200, temperature: float = 0.8, seed: int | None = None) -> str:
        """Return the text that follows a prompt.

        Args:
            prompt: beginning of the text, at least one character.
            length: number of bytes to add; a character of English has one byte.
            temperature: bytes are drawn from softmax(logits / temperature); 0 takes the most probable one.
            seed: of the draws; None for another text in each call.

        Returns:
            the new text, without the prompt. Bytes that are no UTF-8 become U+FFFD.

        Raises:
            DataError: the prompt is empty, or has a character that the network does not know.
            ConfigError: `length` or `temperature` is out of its range.
            NonFiniteError: the network answers with NaN or infinity.
        """
        return ''.join(self.stream(prompt, length, temperature, seed))

    def stream(
        self, prompt: str, length: int = 200, temperature: float = 0.8, seed: int | None = None
    ) -> Iterator[str]:
        """Yield the text that follows a prompt in pieces, as soon as they are there; see `__call__`."""
        symbols = self._symbols(prompt)
        decoder = codecs.getincrementaldecoder('utf-8')(errors='replace')
        for symbol in self.model.generate(symbols, length, temperature, seed):
            yield decoder.decode(bytes([symbol]))
        yield decoder.decode(b'', final=True)

    def _symbols(self, prompt: str) -> list[int]:
        if not isinstance(prompt, str) or not prompt:
            raise DataError(f'prompt must be a text of one or more characters, got {prompt!r:.100}')
        known = self.model.head.num_classes
        unknown = []
        for character in dict.fromkeys(prompt):
            try:
                unknown += [character] if int(encoded(character).max()) >= known else []
            except UnicodeEncodeError:  # half of a character, from bytes of a command line that are no UTF-8
                unknown.append(character)
        if unknown:
            shown = ', '.join(repr(printable(character)) for character in unknown[:8])
            raise DataError(f'prompt has characters that the network does not know: {shown}; leave them out')
        return encoded(prompt).tolist()
