"""The hooks that draw what a network for segmentation or detection sees."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from PIL import Image

from a2sg_zoo.datasets.coco_file import decode_segmentation
from a2sg_zoo.datasets.pictures import read_picture
from a2sg_zoo.engine.logs import tolerated
from a2sg_zoo.hub.files import check_output, check_output_folder, write_output
from a2sg_zoo.registry import HOOKS
from a2sg_zoo.utils.checks import number
from a2sg_zoo.visualization import IGNORED, contact_sheet, detection_panel, predicted_objects, segmentation_panel


class Pictures(Hook):
    """Draws image, truth and prediction side by side. A subclass says how a sample is drawn.

    In a validation `limit` images, at equal distances in the data set, go to one sheet, `pictures/iter_N.png` in the
    run's folder, and to TensorBoard. In a test every image gets a picture of its own in `show_dir`, if that is given,
    and those of the sheet are on one beside them. Only pictures that an earlier test has drawn are replaced. Of a run
    on several devices, the sheet shows images of the first.

    Args:
        limit: images on a sheet.
        show_dir: folder for the pictures of a test; None draws none.
    """

    priority = 'LOW'
    # of the sheet in TensorBoard
    title = 'pictures'

    def __init__(self, limit: int = 8, show_dir: str | os.PathLike | None = None) -> None:
        self.limit = limit
        self.show_dir = None if show_dir is None else Path(show_dir)
        self._names: dict[str, str] = {}
        self._clear()

    def _clear(self) -> None:
        self._panels, self._classes, self._seen = [], set(), 0

    def panel(self, sample: BaseDataElement, metainfo: dict[str, Any]) -> tuple[np.ndarray, set[int]]:
        """Return the picture of a sample, uint8 (H, 3 W, 3), and the labels of the classes on it.

        Args:
            sample: what the network returned, with truth and prediction.
            metainfo: of the data set, with `classes` and `palette`.
        """
        raise NotImplementedError

    def before_test(self, runner: Runner) -> None:
        """Refuses, before the evaluation, a folder with files of others under the names of the pictures.

        Raises:
            ConfigError: there is one, or the folder cannot be written.
        """
        if self.show_dir is None or not is_main_process():
            return
        self.show_dir = check_output_folder(self.show_dir, 'test')
        dataset = runner.test_dataloader.dataset
        images = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
        self._names = _unique_names(images)
        if self.show_dir.is_dir():
            names = {path.name for path in self.show_dir.iterdir()}
            for path in (self._picture(image) for image in images):
                if path.name in names:
                    check_output(path, 'test')

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[BaseDataElement] | None = None
    ) -> None:
        """Draws the first images of a validation."""
        self._collect(runner.val_dataloader, outputs)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Writes the sheet of a validation; where that fails, the run goes on."""
        path = Path(runner.work_dir) / 'pictures' / f'iter_{runner.iter}.png'
        with tolerated(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._sheet(runner, runner.val_dataloader.dataset, lambda sheet: sheet.save(path))

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[BaseDataElement] | None = None
    ) -> None:
        """Writes a picture of each image of a test."""
        if self.show_dir is not None:
            self._collect(runner.test_dataloader, outputs, write=True)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Writes the sheet of a test."""
        if self.show_dir is not None:
            path = self.show_dir / 'sheet.png'
            self._sheet(runner, runner.test_dataloader.dataset, lambda sheet: write_output(sheet, path, 'test'))
            runner.logger.info(f'Pictures are in {self.show_dir}')

    def _picture(self, image: str) -> Path:
        return self.show_dir / f'{self._names.get(image, Path(image).stem)}.png'

    def _collect(self, loader: Any, outputs: Sequence[BaseDataElement] | None, write: bool = False) -> None:
        if not is_main_process():
            return
        on_sheet = spread(len(loader.sampler), self.limit)
        for sample in outputs or ():
            shown = self._seen in on_sheet
            self._seen += 1
            if not (shown or write):
                continue
            panel, classes = self.panel(sample, loader.dataset.metainfo)
            if shown:
                self._panels.append(panel)
                self._classes |= classes
            if write:
                write_output(Image.fromarray(panel), self._picture(sample.img_path), 'test')

    def _sheet(self, runner: Runner, dataset: Any, save: Any) -> None:
        if not self._panels:
            self._clear()
            return
        meta = dataset.metainfo
        legend = [(meta['classes'][i], meta['palette'][i]) for i in sorted(int(i) for i in self._classes)]
        sheet = contact_sheet(self._panels, legend)
        self._clear()
        save(sheet)
        runner.visualizer.add_image(self.title, np.asarray(sheet), runner.iter)


def spread(total: int, limit: int) -> set[int]:
    """Choose `limit` positions of 0 .. total - 1 at equal distances, the first and the last among them.

    >>> sorted(spread(101, 3))
    [0, 50, 100]
    """
    return {int(i) for i in np.linspace(0, total - 1, min(limit, total)).round()} if total else set()


def _unique_names(images: Sequence[str]) -> dict[str, str]:
    """A name for the picture of each image: its own without suffix, with a number where two would be the same."""
    names, taken = {}, {'sheet'}
    for image in images:
        stem = name = Path(image).stem
        count = 1
        while name in taken:
            count += 1
            name = f'{stem}_{count}'
        taken.add(name)
        names[image] = name
    return names


@HOOKS.register_module()
class SegmentationPictures(Pictures):
    """Draws the masks of a segmentation; see `Pictures` for how and where."""

    title = 'segmentation'

    def panel(self, sample: BaseDataElement, metainfo: dict[str, Any]) -> tuple[np.ndarray, set[int]]:
        """Return image, truth and prediction side by side, and the classes on them."""
        truth = sample.gt_sem_seg.data[0].cpu().numpy()
        prediction = sample.pred_sem_seg.data[0].cpu().numpy()
        image = Image.fromarray(read_picture(sample.img_path)).resize(truth.shape[::-1])
        classes = {*np.unique(truth), *np.unique(prediction)} - {IGNORED}
        return segmentation_panel(np.asarray(image), truth, prediction, metainfo['palette']), classes


@HOOKS.register_module()
class DetectionPictures(Pictures):
    """Draws boxes, and masks where there are some; see `Pictures` for how and where.

    Args:
        limit: images on a sheet.
        show_dir: folder for the pictures of a test; None draws none.
        score: smallest score of a prediction that is drawn.
    """

    title = 'detection'

    def __init__(self, limit: int = 8, show_dir: str | os.PathLike | None = None, score: float = 0.3) -> None:
        super().__init__(limit, show_dir)
        self.score = number('score', score, self, 0, 1)

    def panel(self, sample: BaseDataElement, metainfo: dict[str, Any]) -> tuple[np.ndarray, set[int]]:
        """Return image, truth and prediction side by side, and the classes on them."""
        image = read_picture(sample.img_path)
        truth = truth_of(sample.annotations, *image.shape[:2])
        prediction = [found for found in predicted_objects(sample.pred_instances) if found['score'] >= self.score]
        classes = {found['label'] for found in (*truth, *prediction)}
        return detection_panel(image, truth, prediction, metainfo['palette']), classes


def truth_of(annotations: Sequence[dict[str, Any]], height: int, width: int) -> list[dict[str, Any]]:
    """Return annotations in COCO's format as what `detection_panel` draws; crowd regions are left out.

    Args:
        annotations: with label, bbox [x, y, width, height], iscrowd, and a segmentation or none.
        height: of the picture, in pixels.
        width: of the picture, in pixels.
    """
    objects = []
    for item in annotations:
        if not item['iscrowd']:
            x, y, w, h = item['bbox']
            masked = 'segmentation' in item
            mask = decode_segmentation(item['segmentation'], height, width).astype(bool) if masked else None
            objects.append(dict(label=item['label'], box=[x, y, x + w, y + h], mask=mask))
    return objects
