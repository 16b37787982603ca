"""The mean loss of a network over fixed samples, which all measures of this package look at."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from a2sg_zoo.errors import A2SGError, CheckpointError, DataError
from a2sg_zoo.models.classifiers import SpikingClassifier
from a2sg_zoo.utils.tensors import nested_tensors


class NotApplicable(A2SGError):
    """A measure has no meaning for a network or its data."""


def flat(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """Concatenate all elements of tensors of any shapes and strides to one vector."""
    return torch.cat([x.flatten() for x in tensors])


def model_loss(model: Any, inputs: torch.Tensor, targets: Any) -> torch.Tensor:
    """Return the training loss of a batch, without mixing of images: a scalar, the mean over the batch.

    Args:
        model: a `SpikingClassifier`, or a segmentor of MMSegmentation.
        inputs: preprocessed images or frames, batch first.
        targets: labels (B,), or a list of data samples.
    """
    if isinstance(model, SpikingClassifier):
        return model.head.loss(model(inputs), targets)
    return model.parse_losses(model(inputs, targets, mode='loss'))[0]


class Objective:
    """The mean loss L(w) = mean_n L_n(w) of N fixed samples, as a function of the network's parameters w.

    The network is put in eval mode and stays there, so batch norms use their running statistics and L is a mean over
    samples.

    Args:
        model: a network; only its mode is changed.
        batches: pairs (inputs, targets), preprocessed and on the network's device. Inputs are (B, C, H, W),
            (B, features), or frames (B, T, C, H, W); targets have length B.
        loss: called as `loss(model, inputs, targets)`; by default the network's own training loss.
        names: names of the parameters in w; by default all parameters that are trained.

    Attributes:
        names: names of the parameters.
        parameters: the parameters, in the same order. A vector w has all of them, flattened, one after the other.
        layers: {name of a module: [indices into `parameters`]}; this is what reports call a layer.
        samples: number N of samples.

    Raises:
        CheckpointError: a parameter or buffer is NaN or infinite.
        DataError: there are no samples.

    Example:
        >>> import torch
        >>> from a2sg_zoo.analysis.measures.objective import Objective
        >>> def half_square(model, inputs, targets):
        ...     return (model(inputs) - targets).square().mean() / 2
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.constant_(model.weight, 3.0)
        >>> objective = Objective(model, [(torch.ones(2, 1), torch.ones(2, 1))], half_square)
        >>> objective.loss(), objective.gradient()
        (2.0, tensor([2.]))
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[tuple[torch.Tensor, Any]],
        loss: Callable[[Any, torch.Tensor, Any], torch.Tensor] = model_loss,
        names: Sequence[str] | None = None,
    ):
        check_finite(model)
        self.model, self.batches, self._loss = model.eval(), list(batches), loss
        self.samples = sum(len(targets) for _, targets in self.batches)
        if not self.samples:
            raise DataError(
                'there is no sample to analyse; if the data set is smaller than a batch and its loader drops '
                'incomplete batches, set a smaller batch'
            )
        own = {name: p for name, p in model.named_parameters() if p.requires_grad}
        unknown = [name for name in names or () if name not in own]
        if unknown:
            raise A2SGError(f'{type(model).__name__} has no trained parameter {", ".join(unknown)}')
        self.names = list(own if names is None else names)
        self.parameters = [own[name] for name in self.names]
        self.layers: dict[str, list[int]] = {}
        for i, name in enumerate(self.names):
            self.layers.setdefault(name.rpartition('.')[0] or name, []).append(i)

    @property
    def size(self) -> int:
        """Number P of elements of all parameters."""
        return sum(p.numel() for p in self.parameters)

    @property
    def like(self) -> dict[str, Any]:
        """dict(dtype, device) of the parameters."""
        return dict(dtype=self.parameters[0].dtype, device=self.parameters[0].device)

    def restricted(self, names: Sequence[str]) -> 'Objective':
        """Return the same objective as a function of the named parameters only."""
        return Objective(self.model, self.batches, self._loss, names)

    def in_batches_of(self, size: int) -> 'Objective':
        """Return the same objective in batches of at most `size` samples."""
        batches = [
            (inputs[n : n + size], targets[n : n + size])
            for inputs, targets in self.batches
            for n in range(0, len(targets), size)
        ]
        return Objective(self.model, batches, self._loss, self.names)

    def batch_loss(self, inputs: torch.Tensor, targets: Any) -> torch.Tensor:
        """Return the mean loss of one batch, a scalar."""
        return self._loss(self.model, inputs, targets)

    def weighted_batches(self) -> Iterator[tuple[torch.Tensor, Any, float]]:
        """Yield (inputs, targets, share of all samples) of each batch."""
        for inputs, targets in self.batches:
            yield inputs, targets, len(targets) / self.samples

    def single_samples(self) -> Iterator[tuple[torch.Tensor, Any]]:
        """Yield (inputs, targets) of each sample, as batches of one."""
        for inputs, targets in self.batches:
            for n in range(len(targets)):
                one = slice(n, n + 1)
                yield inputs[one], targets[one]

    def sample_gradients(self) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield the gradient of each sample's loss: a tensor for each of `parameters`."""
        for inputs, targets in self.single_samples():
            yield self._gradient(self.batch_loss(inputs, targets))

    def gradient(self) -> torch.Tensor:
        """Return dL/dw, a vector (P,): the surrogate gradient that training follows."""
        total = torch.zeros(self.size, **self.like)
        for inputs, targets, share in self.weighted_batches():
            total.add_(flat(self._gradient(self.batch_loss(inputs, targets))), alpha=share)
        return total

    def _gradient(self, loss):
        return torch.autograd.grad(loss, self.parameters, allow_unused=True, materialize_grads=True)

    @torch.no_grad()
    def loss(self) -> float:
        """Return L(w). It may be NaN or infinite far from a minimum."""
        return math.fsum(
            share * float(self.batch_loss(inputs, targets)) for inputs, targets, share in self.weighted_batches()
        )

    @torch.no_grad()
    def loss_and_accuracy(self) -> tuple[float, float | None]:
        """Return L(w) and the accuracy.

        The accuracy is the share of samples for which the mean of the logits over time is largest at the label, as in a
        test: by `model.test_cfg`. It is None for a network that is not a classifier. L(w) is that of the training's
        time steps.
        """
        if not isinstance(self.model, SpikingClassifier):
            return self.loss(), None
        losses, right = [], 0
        as_trained = self.model.test_T == self.model.backbone.T and not self.model.test_flip
        for inputs, targets, share in self.weighted_batches():
            logits = self.model(inputs)
            losses.append(share * float(self.model.head.loss(logits, targets)))
            logits = logits if as_trained else self.model.test_logits(inputs)
            right += int((logits.mean(0).argmax(1) == targets).sum())
        return math.fsum(losses), right / self.samples

    def split(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """Split a vector (P,) into tensors with the shapes of `parameters`."""
        return [part.view_as(p) for part, p in zip(vector.split([p.numel() for p in self.parameters]), self.parameters)]

    def fingerprint(self) -> str:
        """Return the SHA-256 of everything L depends on: weights, buffers, settings of all modules, loss, samples.

        The division of samples into batches is not part of it, see `batch_sizes`.
        """
        digest = hashlib.sha256()
        for name, module in self.model.named_modules():
            plain = {key: value for key, value in sorted(vars(module).items()) if _is_plain(value)}
            digest.update(f'{name}: {type(module).__qualname__}({module.extra_repr()}) {plain}\n'.encode())
        digest.update(getattr(self._loss, '__qualname__', type(self._loss).__qualname__).encode())
        tensors: list[torch.Tensor] = [*self.model.state_dict().values()]
        for inputs, targets in self.single_samples():
            tensors += [inputs, *nested_tensors(targets)]
        for x in tensors:
            digest.update(f'{x.dtype}{tuple(x.shape)}'.encode())
            digest.update(x.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def batch_sizes(self) -> list[int]:
        """Return the sizes of the batches if L depends on them, and [] if it does not.

        In a segmentation, the mean of a batch is over the pixels that have a class, so L depends on the batches. The L
        of a classifier is a mean over samples.
        """
        return [] if isinstance(self.batches[0][1], torch.Tensor) else [len(targets) for _, targets in self.batches]


def _is_plain(value):
    if isinstance(value, (tuple, list)):
        return all(_is_plain(x) for x in value)
    return value is None or isinstance(value, (bool, int, float, str))


def check_finite(model: nn.Module) -> None:
    """Check that all parameters and buffers are finite.

    Raises:
        CheckpointError: a parameter or buffer, which the message names, has values that are NaN or infinite.
    """
    for name, x in (*model.named_parameters(), *model.named_buffers()):
        if x.is_floating_point() and not bool(x.isfinite().all()):
            count = int((~x.isfinite()).sum())
            raise CheckpointError(
                f'{name}: {count} of {x.numel()} values are NaN or infinite. The run diverged, and nothing can be '
                'measured on these weights; take an earlier checkpoint'
            )
