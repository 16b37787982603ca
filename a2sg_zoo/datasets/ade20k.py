"""SceneParse150, the 150-class benchmark of ADE20K."""

import contextlib

from a2sg_zoo.datasets.segmentation import SegmentationFiles
from a2sg_zoo.registry import DATASETS

with contextlib.redirect_stdout(None):  # it prints that an optional package is missing
    from mmseg.datasets import ADE20KDataset


@DATASETS.register_module(name='ADE20K')
class ADE20K(SegmentationFiles, ADE20KDataset):
    """ADE20K SceneParse150 in the layout of ADEChallengeData2016.zip:

        data_root/images/{training,validation}/NAME.jpg
        data_root/annotations/{training,validation}/NAME.png    1..150, 0 = unlabelled

    The default of `data_root` is in the environment variable ADE20K_ROOT. See `SegmentationFiles`.
    """

    TITLE = 'ADE20K'
    VARIABLE = 'ADE20K_ROOT'
    ROOT = 'data/ade/ADEChallengeData2016'
    HOW_TO_GET = """Get the data set (1 GB) with
    a2sg-zoo download_dataset ade20k
or set the environment variable ADE20K_ROOT, or pass --cfg-options data_root=PATH, to the folder
that holds images/ and annotations/. To try things without it, pass --demo: that takes the embedded miniature set."""
