"""Cityscapes, Pascal VOC 2012 and Pascal Context, with the classes and the layout of MMSegmentation."""

import contextlib

from a2sg_zoo.datasets.segmentation import SegmentationFiles
from a2sg_zoo.registry import DATASETS

with contextlib.redirect_stdout(None):  # it prints that an optional package is missing
    from mmseg.datasets import CityscapesDataset, PascalContextDataset59, PascalVOCDataset

_DEMO = 'To try things without it, pass --demo: that takes the embedded miniature set.'


@DATASETS.register_module(name='Cityscapes')
class Cityscapes(SegmentationFiles, CityscapesDataset):
    """Cityscapes, 19 classes:

        data_root/leftImg8bit/{train,val}/CITY/NAME_leftImg8bit.png
        data_root/gtFine/{train,val}/CITY/NAME_gtFine_labelTrainIds.png    0..18, 255 = ignored

    The masks with `labelTrainIds` are made by `csCreateTrainIdLabelImgs` of the package cityscapesscripts. The default
    of `data_root` is in the environment variable CITYSCAPES_ROOT. See `SegmentationFiles`.
    """

    TITLE = 'Cityscapes'
    VARIABLE = 'CITYSCAPES_ROOT'
    ROOT = 'data/cityscapes'
    HOW_TO_GET = f"""Get leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from cityscapes-dataset.com (an
account is needed), unpack them into one folder, and make the masks of the 19 classes with csCreateTrainIdLabelImgs of
the package cityscapesscripts. Then set the environment variable CITYSCAPES_ROOT, or pass --cfg-options data_root=PATH.
{_DEMO}"""


@DATASETS.register_module(name='PascalVOC2012')
class PascalVOC2012(SegmentationFiles):
    """Pascal VOC 2012, 20 classes and the background:

        data_root/JPEGImages/NAME.jpg
        data_root/SegmentationClass/NAME.png             palette indices 0..20, 255 = ignored
        data_root/ImageSets/Segmentation/{train,val}.txt    names, one a line; `ann_file` chooses the list

    Args:
        ann_file: list of names; without one, every picture needs a mask.
        **kwargs: see `SegmentationFiles`.

    The default of `data_root` is in the environment variable VOC2012_ROOT. See `SegmentationFiles`.
    """

    METAINFO = PascalVOCDataset.METAINFO
    TITLE = 'Pascal VOC 2012'
    VARIABLE = 'VOC2012_ROOT'
    ROOT = 'data/VOCdevkit/VOC2012'
    HOW_TO_GET = f"""Get VOCtrainval_11-May-2012.tar from host.robots.ox.ac.uk/pascal/VOC/voc2012 and unpack it. Then
set the environment variable VOC2012_ROOT, or pass --cfg-options data_root=PATH, to its folder VOCdevkit/VOC2012.
Set ann_file=ImageSets/Segmentation/train.txt, or val.txt: the other pictures have no mask.
{_DEMO}"""


@DATASETS.register_module(name='PascalContext59')
class PascalContext59(SegmentationFiles, PascalContextDataset59):
    """Pascal Context, its 59 most frequent classes:

        data_root/JPEGImages/NAME.jpg
        data_root/SegmentationClassContext/NAME.png             1..59, 0 = ignored
        data_root/ImageSets/SegmentationContext/{train,val}.txt    names, one a line; `ann_file` chooses the list

    MMSegmentation's script tools/dataset_converters/pascal_context.py makes masks and lists. The default of `data_root`
    is in the environment variable PASCAL_CONTEXT_ROOT. See `SegmentationFiles`.
    """

    TITLE = 'Pascal Context'
    VARIABLE = 'PASCAL_CONTEXT_ROOT'
    ROOT = 'data/VOCdevkit/VOC2010'
    HOW_TO_GET = f"""Get VOCtrainval_03-May-2010.tar from host.robots.ox.ac.uk/pascal/VOC/voc2010 and
trainval_merged.json of Pascal Context, and make masks and lists with MMSegmentation's script
tools/dataset_converters/pascal_context.py. Then set the environment variable PASCAL_CONTEXT_ROOT, or pass
--cfg-options data_root=PATH, to the folder VOCdevkit/VOC2010.
Set ann_file=ImageSets/SegmentationContext/train.txt, or val.txt: the other pictures have no mask.
{_DEMO}"""
