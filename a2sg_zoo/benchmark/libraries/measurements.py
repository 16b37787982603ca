"""What the libraries agree on, how well the networks learn, and what a training step costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from a2sg_zoo.adaptation import A2SG, Fixed, Policy, attach
from a2sg_zoo.benchmark.libraries.examples import EXAMPLES
from a2sg_zoo.benchmark.libraries.networks import LIBRARIES, build
from a2sg_zoo.benchmark.reports.statistics import summarize
from a2sg_zoo.benchmark.speed.timing import interleaved, medians, peak_memory
from a2sg_zoo.datasets.classification import Digits

METHODS: dict[str, Callable[[], Policy]] = {'TRI': lambda: Fixed(dict(type='TRI')), 'A2SG': A2SG}
SURROGATES: dict[str, Callable[[], Policy | None]] = {'own': lambda: None, **METHODS}
OURS = 'a2sg_zoo'

_CPU = torch.device('cpu')
_BATCH, _RATE = 64, 1e-2
# batches of the measurement of memory: the first compiles kernels, the second is measured
_WARM_UP, _LARGE_BATCH = 64, 1024


class Setting(NamedTuple):
    """How much is measured.

    Attributes:
        seeds: number of seeds of each training.
        epochs: passes over the 1,437 training images.
        rounds: repetitions of each measurement of time.
        threads: CPU threads.
    """

    seeds: int
    epochs: int
    rounds: int
    threads: int


class Section(NamedTuple):
    """A table of the report.

    Attributes:
        title: its title.
        text: what it shows.
        columns: {key of a row: format of its number}, in the order of the table.
        rows: what was measured.
    """

    title: str
    text: str
    columns: Mapping[str, str]
    rows: list[dict[str, Any]]


def agreement(setting: Setting, steps: int = 5) -> list[Section]:
    """Compare spikes, widths, gradients and trained weights with our own neurons, in float64."""
    images, labels = digits(8, dtype=torch.float64)
    rows = []
    for method, policy in METHODS.items():
        expected = _first_step(OURS, policy(), images, labels, steps)
        for library in LIBRARIES:
            if library == OURS:
                continue
            found = _first_step(library, policy(), images, labels, steps)
            rows.append(
                dict(
                    method=method,
                    library=library,
                    spikes=_equal_share(found['spikes'], expected['spikes']),
                    widths=_equal_share(found['widths'], expected['widths']),
                    gradient=_difference(found['gradients'], expected['gradients']),
                    weights=_difference(found['weights'], expected['weights']),
                )
            )
    text = (
        f'In float64, on a batch of {_BATCH} digits, beside the neurons of this package: the share of equal spikes '
        'and of equal widths, the largest difference of gradients (over their largest element), and the same of the '
        f'weights after {steps} steps of Adam.'
    )
    columns = dict(method='', library='', spikes='.2%', widths='.0%', gradient='.0e', weights='.0e')
    return [Section('Agreement', text, columns, rows)]


def training(setting: Setting) -> list[Section]:
    """Train the network in each library with the same weights, data and seeds."""
    (images, labels), test = digits(8), digits(8, train=False)
    rows = []
    for method, policy in METHODS.items():
        for library in LIBRARIES:
            scores = []
            for seed in range(setting.seeds):
                chosen = policy()
                network, _ = build(library, chosen, seed)
                optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
                fit(network, _loss, optimizer, images, labels, setting.epochs, _BATCH, seed, chosen)
                scores.append(accuracy(network, _scores, *test))
            rows.append(dict(method=method, library=library, **_summary(scores)))
    text = (
        f'Accuracy in % on the 360 test digits after {setting.epochs} epochs of Adam, {setting.seeds} seeds, float32. '
        f'The learning rate, {_RATE}, was chosen on these images, so the table compares libraries and not methods.'
    )
    return [Section('Training', text, dict(method='', library='', mean='.2f', std='.2f', scores=''), rows)]


def cost(setting: Setting) -> list[Section]:
    """Measure a training step in each library: time by turns, and peak memory."""
    images, labels = digits(8)
    pairs = [(library, method) for method in METHODS for library in LIBRARIES]
    actions = {pair: _step(*pair, images[:_BATCH], labels[:_BATCH]) for pair in pairs}
    found = medians(interleaved(actions, _CPU, setting.rounds, label='libraries'))
    memory = {
        library: peak_memory(partial(_memory_action, library, 'TRI'), _CPU, setting.threads) / 2**20
        for library in LIBRARIES
    }
    rows = [
        dict(
            method=method,
            library=library,
            milliseconds=1e3 * found[library, method],
            time=found[library, method] / found[OURS, method],
            search=found[library, method] / found[library, 'TRI'],
            mebibytes=memory[library] if method == 'TRI' else None,
        )
        for library, method in pairs
    ]
    text = (
        f'A training step of {_BATCH} digits: median time of {setting.rounds} rounds by turns, its ratio to our '
        f'neurons and to the same library with TRI; and the peak memory of a step of {_LARGE_BATCH} digits.'
    )
    columns = dict(method='', library='', milliseconds='.1f', time='.2f', search='.2f', mebibytes='.1f')
    return [Section('Time and memory', text, columns, rows)]


def examples(setting: Setting) -> list[Section]:
    """Train the published examples with their own surrogate, with TRI and with A2SG."""
    (images, labels), test = digits(28), digits(28, train=False)
    rows = []
    for name, example in EXAMPLES.items():
        for method in SURROGATES:
            scores = []
            for seed in range(setting.seeds):
                network, loss, optimizer, policy = _example(example, method, seed)
                fit(network, loss, optimizer, images, labels, setting.epochs, example.batch, seed, policy)
                scores.append(accuracy(network, partial(_example_scores, example), *test))
            rows.append(dict(example=name, surrogate=method, **_summary(scores)))
    text = (
        f'Accuracy in % on the 360 test digits (28 x 28) after {setting.epochs} epochs, {setting.seeds} seeds.\n\n'
    ) + '\n'.join(f'- {name}: {example.source}' for name, example in EXAMPLES.items())
    columns = dict(example='', surrogate='', mean='.2f', std='.2f', scores='')
    return [Section('Published examples', text, columns, rows)]


def examples_cost(setting: Setting) -> list[Section]:
    """Measure a training step of the published examples, by turns."""
    images, labels = digits(28)
    rows = []
    for name, example in EXAMPLES.items():
        batch = images[: example.batch], labels[: example.batch]
        actions = {}
        for method in SURROGATES:
            network, loss, optimizer, policy = _example(example, method, 0)
            actions[method] = partial(_train_step, network.train(), loss, optimizer, *batch, policy, 0)
        found = medians(interleaved(actions, _CPU, setting.rounds, label=name))
        rows += [
            dict(example=name, surrogate=method, milliseconds=1e3 * seconds, time=seconds / found['own'])
            for method, seconds in found.items()
        ]
    text = (
        f'A training step: median time of {setting.rounds} rounds by turns, and its ratio to the step with the own '
        'surrogate of the example. A2SG searches in every step, at every time step.'
    )
    columns = dict(example='', surrogate='', milliseconds='.1f', time='.2f')
    return [Section('Published examples: time', text, columns, rows)]


PARTS: dict[str, Callable[[Setting], list[Section]]] = dict(
    agreement=agreement, training=training, cost=cost, examples=examples, examples_cost=examples_cost
)


def digits(size: int, train: bool = True, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """scikit-learn's digits as grey images (N, 1, size, size) from 0 to 1, and their labels (N,)."""
    data = Digits(train=train, size=size)
    return data.images[:, :1].to(dtype) / 255, torch.tensor(data.labels)


def fit(
    network: nn.Module,
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    batch: int,
    seed: int,
    policy: Policy | None,
) -> None:
    """Train a network.

    Args:
        network: the network.
        loss: from (network, images, labels) to a scalar.
        optimizer: of its parameters.
        images: all training images.
        labels: their labels.
        epochs: passes over them.
        batch: images in a step.
        seed: of the order of the images, and of torch's random numbers.
        policy: the policy that the network is under, if any.
    """
    network.train()
    torch.manual_seed(seed)
    order, done = torch.Generator().manual_seed(seed), 0
    for _ in range(epochs):
        for chosen in torch.randperm(len(images), generator=order).split(batch):
            _train_step(network, loss, optimizer, images[chosen], labels[chosen], policy, done)
            done += 1


@torch.no_grad()
def accuracy(
    network: nn.Module, scores: Callable[[nn.Module, Tensor], Tensor], images: Tensor, labels: Tensor
) -> float:
    """The share in % of images that a network classifies rightly; scores: from (network, images) to (B, classes)."""
    network.eval()
    torch.manual_seed(0)
    return 100 * float((scores(network, images).argmax(1) == labels).float().mean())


def _train_step(network, loss, optimizer, images, labels, policy, done):
    if policy is not None:
        policy.begin(done)
    optimizer.zero_grad()
    loss(network, images, labels).backward()
    optimizer.step()


def _loss(network, images, labels):
    return F.cross_entropy(network(images), labels)


def _example(example, method, seed):
    """(network, loss, optimiser, policy) of an example with one of the surrogates."""
    torch.manual_seed(seed)
    network, policy = example.build(), SURROGATES[method]()
    if policy is not None:
        attach(network, policy)
    return network, partial(_example_loss, example), example.optimizer(network.parameters()), policy


def _example_loss(example, network, images, labels):
    return example.loss(example.forward(network, images)[0], labels)


def _example_scores(example, network, images):
    return example.forward(network, images)[1]


def _scores(network, images):
    return network(images)


def _first_step(library, policy, images, labels, steps):
    """Spikes, widths and gradients of the first training step, and the weights after all steps."""
    network, layers = build(library, policy, dtype=images.dtype)
    spikes: list[Tensor] = []
    hooks = [
        module.register_forward_hook(lambda module, args, s: spikes.append(s.detach()))
        for module in (network.neurons1, network.neurons2)
    ]
    policy.begin(0)
    _loss(network, images[:_BATCH], labels[:_BATCH]).backward()
    for hook in hooks:
        hook.remove()
    # a width that no time step has changed yet stands for all of them
    widths = [layer.beta.expand(len(spikes[0])).clone() for layer in layers.values()]
    gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    for step in range(steps):
        chosen = slice(step % 20 * _BATCH, (step % 20 + 1) * _BATCH)
        _train_step(network, _loss, optimizer, images[chosen], labels[chosen], policy, step)
    weights = [p.detach() for p in network.parameters()]
    return dict(spikes=spikes, widths=widths, gradients=gradients, weights=weights)


def _equal_share(found, expected):
    equal = sum(int((a == b).sum()) for a, b in zip(found, expected, strict=True))
    return equal / sum(x.numel() for x in expected)


def _difference(found, expected):
    """The largest difference, over the largest element."""
    worst = max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))
    return worst / max(float(x.abs().max()) for x in expected)


def _summary(scores):
    summary = summarize(scores)
    return dict(mean=summary.mean, std=summary.std, scores=', '.join(f'{score:.2f}' for score in scores))


def _step(library, method, images, labels):
    policy = METHODS[method]()
    network, _ = build(library, policy)
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    return partial(_train_step, network, _loss, optimizer, images, labels, policy, 0)


def _memory_action(library, method, device):
    images, labels = digits(8)
    return tuple(_step(library, method, images[:n], labels[:n]) for n in (_WARM_UP, _LARGE_BATCH))
