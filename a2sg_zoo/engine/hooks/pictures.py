"""The hook that draws what a segmentation network sees."""

from pathlib import Path

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from PIL import Image

from a2sg_zoo.registry import HOOKS
from a2sg_zoo.visualization import IGNORED, contact_sheet, segmentation_panel


@HOOKS.register_module()
class SegmentationPictures(Hook):
    """Draws image, truth and prediction.

    In validation the first `limit` images go to one sheet, `pictures/iter_N.png` in the run's folder and to
    TensorBoard. In a test every image gets a picture of its own in `show_dir`, if that is given, and there is a
    sheet of the first ones beside them.

    Args:
        limit: images on a sheet.
        show_dir: folder for the pictures of a test; None draws none.
    """

    priority = 'LOW'

    def __init__(self, limit=8, show_dir=None):
        self.limit = limit
        self.show_dir = None if show_dir is None else Path(show_dir)
        self._clear()

    def _clear(self):
        self._panels, self._classes = [], set()

    def _panel(self, sample, palette):
        truth = sample.gt_sem_seg.data[0].cpu().numpy()
        prediction = sample.pred_sem_seg.data[0].cpu().numpy()
        image = Image.open(sample.img_path).convert('RGB').resize(truth.shape[::-1])
        return segmentation_panel(np.asarray(image), truth, prediction, palette), {
            *np.unique(truth),
            *np.unique(prediction),
        } - {IGNORED}

    def _collect(self, runner, loop, outputs, folder=None):
        if not is_main_process() or folder is None and len(self._panels) >= self.limit:
            return
        palette = loop.dataloader.dataset.metainfo['palette']
        for sample in outputs:
            panel, classes = self._panel(sample, palette)
            if len(self._panels) < self.limit:
                self._panels.append(panel)
                self._classes |= classes
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(panel).save(folder / f'{Path(sample.img_path).stem}.png')

    def _sheet(self, runner, loop, path):
        if not self._panels:
            return
        meta = loop.dataloader.dataset.metainfo
        legend = [(meta['classes'][i], meta['palette'][i]) for i in sorted(int(i) for i in self._classes)]
        sheet = contact_sheet(self._panels, legend)
        self._clear()
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path)
        runner.visualizer.add_image('segmentation', np.asarray(sheet), runner.iter)
        runner.logger.info(f'Pictures: {path}')

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._collect(runner, runner.val_loop, outputs)

    def after_val_epoch(self, runner, metrics=None):
        self._sheet(runner, runner.val_loop, Path(runner.work_dir) / 'pictures' / f'iter_{runner.iter}.png')

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.show_dir is not None:
            self._collect(runner, runner.test_loop, outputs, self.show_dir)

    def after_test_epoch(self, runner, metrics=None):
        if self.show_dir is not None:
            self._sheet(runner, runner.test_loop, self.show_dir / 'sheet.png')
