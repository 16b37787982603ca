"""The hook that stops a run before NaN or infinity reaches the weights, and says where it came from."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import distributed, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm

from a2sg_zoo.engine.hooks.sharding import wrappers_of
from a2sg_zoo.engine.samplers import ResumableSampler
from a2sg_zoo.errors import NonFiniteError
from a2sg_zoo.registry import HOOKS
from a2sg_zoo.utils.models import unwrap_model
from a2sg_zoo.utils.randomness import random_state, set_random_state

_UNTOUCHED = 'The weights are those of the iteration before, and checkpoints are untouched'
_ADVICE = f'{_UNTOUCHED}. A lower learning rate, a longer warm-up or optim_wrapper.clip_grad usually helps'


@HOOKS.register_module()
class NonFiniteGuard(Hook):
    """Stops a run before NaN or infinity reaches the weights or a checkpoint.

    Before the optimiser's step it checks the losses, the gradients, and the learning rate and other numbers of the
    optimiser; before a checkpoint is saved, the weights and the optimiser's state. The error names the iteration, what
    was not finite, and the first of these causes that holds:

    1. a parameter that is not finite,
    2. the files, or items of the data set, of inputs that are not finite,
    3. the first layer with finite inputs and an output that is not; the forward pass is run again to find it.

    Gradients that a GradScaler rejects are not checked, because it skips such a step. Neither are forward passes of
    other hooks before the step.

    Raises:
        NonFiniteError: see above.
    """

    def before_train(self, runner: Runner) -> None:
        """Begins to watch the network and the optimiser."""
        self._runner, self._watching = runner, False
        model = unwrap_model(runner.model)
        self._handles = [
            model.register_forward_pre_hook(self._before_forward, with_kwargs=True),
            model.register_forward_hook(self._after_forward, with_kwargs=True),
            *(w.optimizer.register_step_pre_hook(self._before_step) for w in wrappers_of(runner.optim_wrapper)),
        ]
        self._names = {parameter: name for name, parameter in model.named_parameters()}

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """From here on, a forward pass is that of the step."""
        self._watching = True

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """From here on, a forward pass is of another kind."""
        self._watching = False

    def after_train(self, runner: Runner) -> None:
        """Stops watching."""
        self._remove_hooks()

    def _remove_hooks(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _before_forward(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        if self._watching and kwargs.get('mode') == 'loss':
            self._generators = random_state(next(model.parameters()).device)

    def _after_forward(self, model: nn.Module, args: tuple, kwargs: dict, losses: dict) -> None:
        if not self._watching or kwargs.get('mode') != 'loss':
            return
        values = {name: value for name, value in losses.items() if 'loss' in name}
        if _finite(values):
            return
        self._remove_hooks()
        name, value = next((name, value) for name, value in values.items() if not _finite(value))
        value = sum(float(x.detach().sum()) for x in _tensors(value))
        raise NonFiniteError(
            f'iteration {self._runner.iter + 1}: {name} is {value}. {self._cause(model, args, kwargs)}. {_ADVICE}'
        )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuses to save weights that are not finite, or NaN in the state of the optimiser."""
        name = _first(lambda x: not _finite(x), checkpoint['state_dict'], '')
        if name is None:  # second moments may overflow where weights do not
            name = _first(lambda x: bool(torch.as_tensor(x).isnan().any()), checkpoint.get('optimizer'), 'optimizer')
        if name is not None:
            raise NonFiniteError(
                f'iteration {checkpoint.get("meta", {}).get("iter", runner.iter)}: {name} is not finite, so no '
                'checkpoint is saved. Those that were saved before are untouched; continue from one of them, with a '
                'lower learning rate or optim_wrapper.clip_grad'
            )

    def _before_step(self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
        for i, group in enumerate(optimizer.param_groups):
            for key, value in group.items():
                if isinstance(value, float) and not math.isfinite(value):
                    raise NonFiniteError(
                        f'iteration {self._runner.iter + 1}: {key} of parameter group {i} is {value}; check '
                        f'optim_wrapper.optimizer and param_scheduler. {_UNTOUCHED}'
                    )
        parameters = [p for group in optimizer.param_groups for p in group['params'] if p.grad is not None]
        if parameters and not _all_finite([p.grad for p in parameters]):
            self._remove_hooks()
            name = next(self._names.get(p, 'a parameter outside the model') for p in parameters if not _finite(p.grad))
            raise NonFiniteError(
                f'iteration {self._runner.iter + 1}: the loss is finite, but the gradient of {name} is not. {_ADVICE}'
            )

    def _cause(self, model: nn.Module, args: tuple, kwargs: dict) -> str:
        for name, parameter in model.named_parameters():
            if not _finite(parameter):
                return f'The parameter {name} is not finite'
        batch = {**{str(i): x for i, x in enumerate(args)}, **kwargs}
        samples = next((x for x in batch.values() if _is_samples(x)), [])
        images = [x for x in batch.values() if not _is_samples(x)]
        if not _finite(images):
            return f'The input is not finite: {", ".join(self._sources(_rows_not_finite(images), samples))}'
        return self._first_layer(model, args, kwargs)

    def _sources(self, rows: list[int], samples: list) -> list[str]:
        """The files, or places in the data set, of rows of the batch."""
        named = [getattr(sample, 'img_path', None) for sample in samples]
        loader = self._runner.train_dataloader
        indices = []
        if isinstance(loader.sampler, ResumableSampler) and loader.batch_size:
            indices = loader.sampler.batch(self._runner.iter, loader.batch_size)
        found = []
        for row in rows:
            if row < len(named) and named[row]:
                found.append(str(named[row]))
            else:
                found.append(_source(loader.dataset, indices[row]) if row < len(indices) else f'row {row} of the batch')
        return found or ['no row of the batch by itself']

    def _first_layer(self, model: nn.Module, args: tuple, kwargs: dict) -> str:
        """Repeats the forward pass, with the same random numbers, and watches every module."""
        found = []

        def watch(module: nn.Module, inputs: Any, named_inputs: Any, output: Any, name: str, kind: str) -> None:
            if not found and not _finite(output) and _finite([inputs, named_inputs]):
                largest = max((float(x.abs().max()) for x in _tensors([inputs, named_inputs]) if x.numel()), default=0)
                found.append(
                    f'The first layer that makes it from finite inputs (of at most {largest:g}) is '
                    f'{name or "the model itself"} ({kind})'
                )

        # the other processes do not repeat their pass, so none of them would answer a SyncBatchNorm
        model = revert_sync_batchnorm(model)
        for name, module in model.named_modules():
            module.register_forward_hook(partial(watch, name=name, kind=type(module).__name__), with_kwargs=True)
        set_random_state(self._generators)
        with torch.no_grad():
            model(*args, **kwargs)
        return found[0] if found else 'All layers were finite when the step was repeated'


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """All floating-point tensors in nested containers."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point() or value.is_complex():
            yield value
    elif isinstance(value, dict):
        for x in value.values():
            yield from _tensors(x)
    elif isinstance(value, (list, tuple)):
        for x in value:
            yield from _tensors(x)
    elif isinstance(value, float):
        yield torch.tensor(value)


def _finite(value: Any) -> bool:
    """Whether all numbers in nested containers are finite; waits for the device once."""
    flags = [x.detach().isfinite().all() for x in _tensors(value)]
    if len({flag.device for flag in flags}) > 1:
        flags = [flag.cpu() for flag in flags]
    return not flags or bool(torch.stack(flags).all())


def _first(is_bad: Callable, state: Any, path: str) -> str | None:
    """The dotted name of the first tensor or number in nested containers that is bad, None without one."""
    if isinstance(state, (torch.Tensor, float)):
        return path if is_bad(state) else None
    items = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, (list, tuple)) else ()
    found = (_first(is_bad, value, f'{path}.{key}' if path else str(key)) for key, value in items)
    return next((name for name in found if name is not None), None)


def _all_finite(gradients: list[torch.Tensor]) -> bool:
    """Whether gradients are finite, on all processes if they are divided among them; waits for the device once."""
    parts = [x.to_local() if isinstance(x, DTensor) else x for x in gradients]
    # the largest magnitude: unlike a sum of squares it cannot overflow
    bad = ~get_total_norm([x for x in parts if x.numel()], norm_type=inf).isfinite()
    if isinstance(gradients[0], DTensor):
        bad = bad.float()
        distributed.all_reduce(bad)
    return not bad


def _is_samples(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(x, BaseDataElement) for x in value)


def _rows_not_finite(images: list) -> list[int]:
    """The rows of the first batch among the inputs that are not finite."""
    batch = next((x for x in images if isinstance(x, (torch.Tensor, list, tuple)) and not _finite(x)), [])
    return [i for i, row in enumerate(batch) if not _finite(row)]


def _source(dataset: Any, index: int) -> str:
    """The file of an item of a data set, or its place where the data set does not tell."""
    try:
        info = dataset.get_data_info(index) if hasattr(dataset, 'get_data_info') else dataset.samples[index]
        return str(info['img_path'] if isinstance(info, dict) else info[0])
    except (AttributeError, IndexError, KeyError, TypeError):
        return f'item {index} of the training data ({type(dataset).__name__})'
