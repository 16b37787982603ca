"""A data set, of this package or a user's own, whose items are checked before they are put together to a batch."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset, IterableDataset

from a2sg_zoo.datasets.seeding import SeededIndex, seeded
from a2sg_zoo.errors import A2SGError, DataError, printable
from a2sg_zoo.registry import DATASETS

# where data sets keep the paths of their items
_LISTS_OF_FILES = ('samples', 'imgs', 'files', 'paths')


@DATASETS.register_module()
def checked_dataset(dataset: dict | Dataset, name: str = 'data', **expected: Any) -> Any:
    """The data set of a config, whose items are checked by `CheckedDataset`; one without indices is left as it is.

    Args:
        dataset: data set, or its config.
        name: what the messages call it, such as 'train_dataloader'.
        **expected: those of `CheckedDataset`.

    Raises:
        DataError: the data set cannot be built, or is empty.
    """
    kind = dataset.get('type') if isinstance(dataset, dict) else type(dataset).__name__
    try:
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        if isinstance(dataset, IterableDataset):
            return dataset
        size = len(dataset)
    except (A2SGError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a data set may be anybody's
        raise DataError(f'{name}.dataset: {printable(kind)} cannot be built: {_reason(error)}') from error
    if not size:
        raise DataError(f'{name}.dataset: {printable(kind)} is empty: it has no items')
    return CheckedDataset(dataset, name, **expected)


class CheckedDataset(Dataset):
    """Hands on the items of a data set, and raises an error that names data set, index and file where an item cannot be
    had or is not what the network takes. Its other attributes are those of the data set.

    With a `SeededIndex`, `random`, `numpy.random` and torch's generator start from its seed, so that any data set that
    draws from them is reproducible. For a data set with `__getitems__`, they start from the seed of the first index.

    Args:
        dataset: the data set; item i is a dictionary with `inputs` and `data_samples`.
        name: what the messages call it, such as 'train_dataloader'.
        task: 'classification' (`data_samples` are labels), 'segmentation' (they are `SegDataSample`), 'detection' (they
            are samples with `gt_instances`), or None: then only what holds for all is checked.
        num_classes: number of classes; labels are 0..num_classes - 1.
        ignore_index: label of pixels that count for nothing.
        same_size: whether the inputs of a batch must have one size.
        training: whether labels are learnt, and not only compared.
        scale: the largest mean that is subtracted from the pixels; inputs in 0..1 do not fit a mean above 1.
    """

    def __init__(
        self,
        dataset: Dataset,
        name: str = 'data',
        task: str | None = None,
        num_classes: int | None = None,
        ignore_index: int = 255,
        same_size: bool = False,
        training: bool = False,
        scale: float | None = None,
    ):
        self.dataset, self.name, self.task, self.num_classes = dataset, name, task, num_classes
        self.ignore_index, self.same_size, self.training, self.scale = ignore_index, same_size, training, scale

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset' or name.startswith('__'):  # before it is set, while a copy is made in another process
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The items of a batch, which torch's DataLoader asks for at once."""
        items = [self._checked(item, index) for item, index in zip(self._items(indices), indices)]
        if self.same_size and len(items) > 1:
            self._require_same_size(items, indices)
        return items

    def _items(self, indices: Sequence[int]) -> list[Any]:
        together = getattr(self.dataset, '__getitems__', None)
        if together is None:
            return [self._item(index) for index in indices]
        try:
            with _seeded_by(indices[0]):
                items = together(indices)
            if len(items) != len(indices):
                raise ValueError(f'{len(items)} items for {len(indices)} indices')
            return items
        except (A2SGError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            for index in indices:  # the first that fails alone
                self._item(index)
            raise self._error(indices[0], f'and {len(indices) - 1} more: {_reason(error)}') from error

    def _item(self, index: int) -> Any:
        try:
            with _seeded_by(index):
                return self.dataset[index]
        except (A2SGError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # a data set may be anybody's
            raise self._error(index, _reason(error), getattr(error, 'filename', None)) from error

    def _checked(self, item: Any, index: int) -> dict[str, Any]:
        if not isinstance(item, dict):
            raise self._error(
                index, f'is {_kind(item)}; an item must be dict(inputs=tensor, data_samples=label or SegDataSample)'
            )
        if self.task is None:
            return item
        missing = [key for key in ('inputs', 'data_samples') if key not in item]
        if missing:
            raise self._error(index, f'has no {" and no ".join(missing)}, but {", ".join(map(str, item))}', item=item)
        inputs, samples = item['inputs'], item['data_samples']
        if self.task == 'segmentation' and not self.training and isinstance(inputs, list) and isinstance(samples, list):
            for version in zip(inputs, samples):  # of TestTimeAug
                self._checked(dict(zip(('inputs', 'data_samples'), version)), index)
            return item
        self._check_inputs(item, index)
        if self.task == 'classification':
            return {**item, 'data_samples': self._checked_label(item, index)}
        if self.task == 'detection':
            self._check_objects(item, index)
        else:
            self._check_mask(item, index)
        return item

    def _check_inputs(self, item: dict[str, Any], index: int) -> None:
        inputs = item['inputs']
        if not isinstance(inputs, (torch.Tensor, np.ndarray)):
            raise self._error(index, f'inputs is {_kind(inputs)}; it must be a tensor (C, H, W)', item=item)
        inputs = torch.as_tensor(inputs)
        sequence = inputs.dim() == 2 and inputs.is_floating_point() and self.task == 'classification'
        if not (inputs.dim() in (3, 4) or sequence) or not inputs.numel():
            raise self._error(
                index,
                f'inputs has the shape {tuple(inputs.shape)} of {inputs.dtype}; it must be (C, H, W), (T, C, H, W), or '
                'for a sequence floating-point (T, F)',
                item=item,
            )
        if not inputs.is_floating_point():
            return
        low, high = (float(x) for x in inputs.aminmax())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise self._error(index, 'inputs has NaN or infinity', item=item)
        if self.scale is not None and self.scale > 1.5 and low >= 0 and 0 < high <= 1:
            raise self._error(
                index,
                f'inputs is in 0..1, but model.data_preprocessor.mean goes to {self.scale:g}, so it expects 0..255; '
                'multiply the inputs by 255, or change mean and std',
                item=item,
            )

    def _checked_label(self, item: dict[str, Any], index: int) -> int | torch.Tensor:
        label = item['data_samples']
        shares = isinstance(label, (torch.Tensor, np.ndarray)) and label.ndim == 1 and len(label) == self.num_classes
        if shares and self.training and torch.as_tensor(label).is_floating_point():
            return label  # probabilities of the classes
        if isinstance(label, (torch.Tensor, np.ndarray)) and label.ndim == 0:
            label = label.item()
        if isinstance(label, (bool, np.bool_)) or not isinstance(label, (int, np.integer)):
            raise self._error(index, f'data_samples is {_kind(label)}; a label must be an integer', item=item)
        if self.num_classes is not None and not 0 <= label < self.num_classes:
            raise self._error(
                index, f'has the label {label}, but the classes of the network are 0..{self.num_classes - 1}', item=item
            )
        return int(label)

    def _check_mask(self, item: dict[str, Any], index: int) -> None:
        sample = item['data_samples']
        if not isinstance(sample, BaseDataElement):
            raise self._error(index, f'data_samples is {_kind(sample)}; it must be a SegDataSample', item=item)
        if 'gt_sem_seg' not in sample:
            if self.training:
                raise self._error(index, 'data_samples has no gt_sem_seg, the mask to learn', item=item)
            return
        labels = sample.gt_sem_seg.data
        if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
            raise self._error(index, f'gt_sem_seg is {labels.dtype}; labels must be integers', item=item)
        if self.training and labels.shape[-2:] != item['inputs'].shape[-2:]:
            raise self._error(
                index,
                f'gt_sem_seg is {tuple(labels.shape[-2:])} and inputs {tuple(item["inputs"].shape[-2:])} (H, W)',
                item=item,
            )
        if self.num_classes is None or not labels.numel():
            return
        low, high = (int(x) for x in labels.aminmax())
        if low < 0 or high >= self.num_classes:  # the rest of the work is for the few masks that have ignored pixels
            wrong = labels[(labels != self.ignore_index) & ((labels < 0) | (labels >= self.num_classes))]
            if wrong.numel():
                values = ', '.join(map(str, wrong.unique()[:8].tolist()))
                raise self._error(
                    index,
                    f'gt_sem_seg has the label {values}; the classes of the network are 0..{self.num_classes - 1}, and '
                    f'{self.ignore_index} is ignored',
                    item=item,
                )

    def _check_objects(self, item: dict[str, Any], index: int) -> None:
        sample = item['data_samples']
        if not isinstance(sample, BaseDataElement):
            raise self._error(index, f'data_samples is {_kind(sample)}; it must be a BaseDataElement', item=item)
        if 'gt_instances' not in sample:
            if self.training:
                raise self._error(index, 'data_samples has no gt_instances, the objects to learn', item=item)
            return
        boxes, labels = sample.gt_instances.bboxes, sample.gt_instances.labels
        if boxes.dim() != 2 or boxes.shape[1] != 4 or not (boxes[:, 2:] > boxes[:, :2]).all():
            raise self._error(
                index, 'gt_instances.bboxes must be (N, 4), x1, y1, x2, y2 with x1 < x2 and y1 < y2', item=item
            )
        if self.num_classes is not None and not ((labels >= 0) & (labels < self.num_classes)).all():
            raise self._error(
                index,
                f'gt_instances.labels has {labels.unique()[:8].tolist()}; the classes of the network are '
                f'0..{self.num_classes - 1}',
                item=item,
            )

    def _require_same_size(self, items: Sequence[dict[str, Any]], indices: Sequence[int]) -> None:
        shapes = [tuple(item['inputs'].shape) if hasattr(item.get('inputs'), 'shape') else None for item in items]
        other = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), None)
        if other is not None:
            raise self._error(
                indices[other],
                f'has the shape {shapes[other]}, but item {int(indices[0])}{self._file(indices[0], items[0])} of the '
                f'same batch has {shapes[0]}; resize or crop them in the pipeline, or set batch_size=1',
                item=items[other],
            )

    def _error(self, index: int, problem: str, file: Any = None, item: Any = None) -> DataError:
        kind = type(self.dataset).__name__
        where = f' ({printable(file)})' if file else self._file(index, item)
        return DataError(f'{self.name}.dataset: item {int(index)} of {kind}{where}: {problem}')

    def _file(self, index: int, item: Any = None) -> str:
        for look in (
            lambda: item['data_samples'].img_path,
            lambda: item['img_path'],
            lambda: self.dataset.get_data_info(int(index))['img_path'],
            *(lambda key=key: getattr(self.dataset, key)[int(index)] for key in _LISTS_OF_FILES),
        ):
            try:
                found = look()
            except Exception:  # where a data set keeps its files, if it has any, is its own affair
                continue
            found = found[0] if isinstance(found, (tuple, list)) and found else found
            if isinstance(found, str) or hasattr(found, '__fspath__'):
                return f' ({printable(found)})'
        return ''


def _seeded_by(index: int) -> AbstractContextManager[None]:
    return seeded(index.seed) if isinstance(index, SeededIndex) else nullcontext()


def _kind(value: Any) -> str:
    if value is None:
        return 'None'
    if isinstance(value, (float, str, bool)):
        return f'{printable(repr(value))[:60]} ({type(value).__name__})'
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return f'a {type(value).__name__} {tuple(value.shape)} of {value.dtype}'
    return f'a {type(value).__name__}'


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return printable(f'{type(error).__name__}: {lines[0]}' if lines else type(error).__name__)[:500]
