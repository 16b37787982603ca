"""The hook that draws what a segmentation network sees."""

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

from a2sg_zoo.datasets.pictures import read_picture
from a2sg_zoo.engine.logs import tolerated
from a2sg_zoo.hub.files import check_output, check_output_folder, write_output
from a2sg_zoo.registry import HOOKS
from a2sg_zoo.visualization import IGNORED, contact_sheet, segmentation_panel


@HOOKS.register_module()
class SegmentationPictures(Hook):
    """Draws image, truth and prediction side by side.

    In a validation the first `limit` images go to one sheet, `pictures/iter_N.png` in the run's folder, and to
    TensorBoard. In a test every image gets a picture of its own in `show_dir`, if that is given, and the first ones
    are on a sheet beside them. Only pictures that an earlier test has drawn are replaced.

    Args:
        limit: images on a sheet.
        show_dir: folder for the pictures of a test; None draws none.
    """

    priority = 'LOW'

    def __init__(self, limit: int = 8, show_dir: str | os.PathLike | None = None) -> None:
        self.limit = limit
        self.show_dir = None if show_dir is None else Path(show_dir)
        self._names: dict[str, str] = {}
        self._clear()

    def _clear(self) -> None:
        self._panels, self._classes = [], set()

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
        self._collect(runner.val_dataloader.dataset, outputs)

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
            self._collect(runner.test_dataloader.dataset, outputs, write=True)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Writes the sheet of a test."""
        if self.show_dir is not None:
            path = self.show_dir / 'sheet.png'
            self._sheet(runner, runner.test_dataloader.dataset, lambda sheet: write_output(sheet, path, 'test'))
            runner.logger.info(f'Pictures are in {self.show_dir}')

    def _picture(self, image: str) -> Path:
        return self.show_dir / f'{self._names.get(image, Path(image).stem)}.png'

    def _collect(self, dataset: Any, outputs: Sequence[BaseDataElement] | None, write: bool = False) -> None:
        if not is_main_process() or not write and len(self._panels) >= self.limit:
            return
        for sample in outputs or ():
            panel, classes = _panel(sample, dataset.metainfo['palette'])
            if len(self._panels) < self.limit:
                self._panels.append(panel)
                self._classes |= classes
            if write:
                write_output(Image.fromarray(panel), self._picture(sample.img_path), 'test')

    def _sheet(self, runner: Runner, dataset: Any, save: Any) -> None:
        if not self._panels:
            return
        meta = dataset.metainfo
        legend = [(meta['classes'][i], meta['palette'][i]) for i in sorted(int(i) for i in self._classes)]
        sheet = contact_sheet(self._panels, legend)
        self._clear()
        save(sheet)
        runner.visualizer.add_image('segmentation', np.asarray(sheet), runner.iter)


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


def _panel(sample: BaseDataElement, palette: Sequence) -> tuple[np.ndarray, set]:
    """The panel of an image, and the classes on it."""
    truth = sample.gt_sem_seg.data[0].cpu().numpy()
    prediction = sample.pred_sem_seg.data[0].cpu().numpy()
    image = Image.fromarray(read_picture(sample.img_path)).resize(truth.shape[::-1])
    classes = {*np.unique(truth), *np.unique(prediction)} - {IGNORED}
    return segmentation_panel(np.asarray(image), truth, prediction, palette), classes
