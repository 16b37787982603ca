"""The mean loss of a network over a data set: what every measure here is a measure of."""

import hashlib
import math

import torch
from mmengine.structures import BaseDataElement

from a2sg_zoo.errors import A2SGError, CheckpointError, DataError
from a2sg_zoo.models.classifiers import SpikingClassifier


class NotApplicable(A2SGError):
    """A measure that a network or its data have no use for."""


def flat(tensors):
    """One vector of all elements, of any strides."""
    return torch.cat([x.flatten() for x in tensors])


def model_loss(model, inputs, targets):
    """The training loss of a batch, without mixing: a scalar tensor, a mean over the samples of the batch."""
    if isinstance(model, SpikingClassifier):
        return model.head.loss(model(inputs), targets)
    return model.parse_losses(model(inputs, targets, mode='loss'))[0]


class Objective:
    """L(w) = mean_n L_n(w) over a fixed set of samples, in passes over batches.

    It puts the network in eval mode and leaves it there.

    Args:
        model: a network; nothing of it is changed but its mode.
        batches: [(inputs, targets)], preprocessed, where the network is. Inputs are (B, C, H, W) or (B, features), or
            frames (B, T, C, H, W); targets are of length B.
        loss: called as `loss(model, inputs, targets)`; by default the network's own training loss.
        names: names of the parameters that are looked at; by default all that are trained.

    Attributes:
        names: the parameters' names.
        parameters: the parameters, in that order. A vector w has all of them, flattened, one after the other.
        layers: {name of a module: [indices into `parameters`]}: what a "layer" is in the reports.
        samples: number N of samples.

    Raises:
        CheckpointError: a parameter or buffer is NaN or infinite.
        DataError: there are no samples.
    """

    def __init__(self, model, batches, loss=model_loss, names=None):
        check_finite(model)
        self.model, self.batches, self._loss = model.eval(), list(batches), loss
        self.samples = sum(len(targets) for _, targets in self.batches)
        if not self.samples:
            raise DataError(
                'the data set gave no sample to analyse; is it smaller than a batch whose loader drops the '
                'incomplete one? Set a smaller batch'
            )
        own = {name: p for name, p in model.named_parameters() if p.requires_grad}
        unknown = [name for name in names or () if name not in own]
        if unknown:
            raise A2SGError(f'{type(model).__name__} has no trained parameter {", ".join(unknown)}')
        self.names = list(own if names is None else names)
        self.parameters = [own[name] for name in self.names]
        self.layers = {}
        for i, name in enumerate(self.names):
            self.layers.setdefault(name.rpartition('.')[0] or name, []).append(i)

    @property
    def size(self):
        """Number of parameters."""
        return sum(p.numel() for p in self.parameters)

    @property
    def like(self):
        """dict(dtype, device) of the parameters."""
        return dict(dtype=self.parameters[0].dtype, device=self.parameters[0].device)

    def restricted(self, names):
        """The same objective as a function of these parameters alone."""
        return Objective(self.model, self.batches, self._loss, names)

    def in_batches_of(self, size):
        """The same objective, in batches of at most `size` samples."""
        batches = [
            (inputs[n : n + size], targets[n : n + size])
            for inputs, targets in self.batches
            for n in range(0, len(targets), size)
        ]
        return Objective(self.model, batches, self._loss, self.names)

    def batch_loss(self, inputs, targets):
        return self._loss(self.model, inputs, targets)

    def weighted_batches(self):
        """(inputs, targets, share of all samples) of each batch."""
        for inputs, targets in self.batches:
            yield inputs, targets, len(targets) / self.samples

    def single_samples(self):
        """(inputs, targets) of each sample, as batches of one."""
        for inputs, targets in self.batches:
            for n in range(len(targets)):
                one = slice(n, n + 1)
                yield inputs[one], targets[one]

    def sample_gradients(self):
        """The gradient of each sample's loss: tuples of tensors, as `parameters`."""
        for inputs, targets in self.single_samples():
            yield self._gradient(self.batch_loss(inputs, targets))

    def gradient(self):
        """dL/dw, a vector: the surrogate gradient that training follows."""
        total = torch.zeros(self.size, **self.like)
        for inputs, targets, share in self.weighted_batches():
            total.add_(flat(self._gradient(self.batch_loss(inputs, targets))), alpha=share)
        return total

    def _gradient(self, loss):
        return torch.autograd.grad(loss, self.parameters, allow_unused=True, materialize_grads=True)

    @torch.no_grad()
    def loss(self):
        """L(w), a number; may be NaN or infinite far from a minimum."""
        return math.fsum(
            share * float(self.batch_loss(inputs, targets)) for inputs, targets, share in self.weighted_batches()
        )

    @torch.no_grad()
    def loss_and_accuracy(self):
        """(L(w), share of samples whose label has the largest logit; None for a network that is no classifier)."""
        if not isinstance(self.model, SpikingClassifier):
            return self.loss(), None
        losses, right = [], 0
        for inputs, targets, share in self.weighted_batches():
            logits = self.model(inputs)
            losses.append(share * float(self.model.head.loss(logits, targets)))
            right += int((logits.mean(0).argmax(1) == targets).sum())
        return math.fsum(losses), right / self.samples

    def split(self, vector):
        """The parts of a vector, as `parameters`."""
        return [part.view_as(p) for part, p in zip(vector.split([p.numel() for p in self.parameters]), self.parameters)]

    def fingerprint(self):
        """SHA-256 of everything that L depends on: weights, buffers, the settings of every module, the loss, samples.

        How samples are divided into batches does not count: see `batch_sizes`.
        """
        digest = hashlib.sha256()
        for name, module in self.model.named_modules():
            plain = {key: value for key, value in sorted(vars(module).items()) if _is_plain(value)}
            digest.update(f'{name}: {type(module).__qualname__}({module.extra_repr()}) {plain}\n'.encode())
        digest.update(getattr(self._loss, '__qualname__', type(self._loss).__qualname__).encode())
        tensors = [*self.model.state_dict().values()]
        for inputs, targets in self.single_samples():
            tensors += [inputs, *_tensors(targets)]
        for x in tensors:
            digest.update(f'{x.dtype}{tuple(x.shape)}'.encode())
            digest.update(x.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def batch_sizes(self):
        """Sizes of the batches if L depends on them, as in a segmentation, where a batch's mean is over pixels and some
        have no class; [] for a classifier, whose L is a mean over samples."""
        return [] if isinstance(self.batches[0][1], torch.Tensor) else [len(targets) for _, targets in self.batches]


def _is_plain(value):
    if isinstance(value, (tuple, list)):
        return all(_is_plain(x) for x in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _tensors(targets):
    """The tensors in labels, or in a list of MMEngine's data samples."""
    if isinstance(targets, torch.Tensor):
        yield targets
    elif isinstance(targets, BaseDataElement):
        for _, value in targets.items():
            yield from _tensors(value)
    elif isinstance(targets, (list, tuple)):
        for value in targets:
            yield from _tensors(value)


def check_finite(model):
    """Raises CheckpointError that names the first parameter or buffer with NaN or infinity."""
    for name, x in (*model.named_parameters(), *model.named_buffers()):
        if x.is_floating_point() and not bool(x.isfinite().all()):
            count = int((~x.isfinite()).sum())
            raise CheckpointError(
                f'{name} has {count} of {x.numel()} values that are NaN or infinite: these are '
                'weights of a run that diverged, and nothing can be measured on them; take an '
                'earlier checkpoint'
            )
