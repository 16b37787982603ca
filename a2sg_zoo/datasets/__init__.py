"""The data sets: ADE20K SceneParse150 and a miniature of its layout that is drawn on the spot; CIFAR and other small
images with a label each; recordings of event cameras; text; and their augmentation in batches."""

from importlib import import_module

from a2sg_zoo.datasets.augment import BatchCrop, BatchCutout, BatchErasing, BatchFlip, Draws
from a2sg_zoo.datasets.auto_augment import BatchAutoAugment, BatchRandAugment
from a2sg_zoo.datasets.checked import CheckedDataset, checked_dataset
from a2sg_zoo.datasets.classification import CIFAR, Digits, ImageFolder
from a2sg_zoo.datasets.event_augment import BatchEventAugment
from a2sg_zoo.datasets.event_sets import NMNIST, DVSGesture, NCaltech101
from a2sg_zoo.datasets.events import CIFAR10DVS
from a2sg_zoo.datasets.imagenet import ImageNet
from a2sg_zoo.datasets.miniature.digit_sequences import DigitSequences
from a2sg_zoo.datasets.miniature.event_digits import EventDigits
from a2sg_zoo.datasets.miniature.scenes import draw_scene, write_scenes
from a2sg_zoo.datasets.miniature.spoken_digits import SpokenDigits
from a2sg_zoo.datasets.mnist import MNIST
from a2sg_zoo.datasets.seeding import SeededIndex, SeededItems, seeded
from a2sg_zoo.datasets.sequences import ToSequence
from a2sg_zoo.datasets.spikes import SHD, SSC
from a2sg_zoo.datasets.text import Text
from a2sg_zoo.datasets.timm_augment import TimmRandAugment

# These need MMSegmentation, which takes seconds to load, or pycocotools, so they are imported when they are asked for.
_LAZY = {
    'ADE20K': 'a2sg_zoo.datasets.ade20k',
    'COCO': 'a2sg_zoo.datasets.coco',
    'Cityscapes': 'a2sg_zoo.datasets.segmentation_sets',
    'LoadDetection': 'a2sg_zoo.datasets.coco',
    'LoadImage': 'a2sg_zoo.datasets.segmentation',
    'LoadSegAnnotations': 'a2sg_zoo.datasets.segmentation',
    'MaskFolder': 'a2sg_zoo.datasets.mask_folder',
    'MiniatureCOCO': 'a2sg_zoo.datasets.miniature.coco',
    'PackDetection': 'a2sg_zoo.datasets.coco',
    'PascalContext59': 'a2sg_zoo.datasets.segmentation_sets',
    'PascalVOC2012': 'a2sg_zoo.datasets.segmentation_sets',
    'MiniatureADE20K': 'a2sg_zoo.datasets.miniature.ade20k',
}

__all__ = [
    'ADE20K',
    'BatchAutoAugment',
    'BatchCrop',
    'BatchCutout',
    'BatchErasing',
    'BatchEventAugment',
    'BatchFlip',
    'BatchRandAugment',
    'CIFAR',
    'CIFAR10DVS',
    'COCO',
    'CheckedDataset',
    'Cityscapes',
    'DigitSequences',
    'DVSGesture',
    'Digits',
    'Draws',
    'EventDigits',
    'ImageFolder',
    'ImageNet',
    'LoadDetection',
    'LoadImage',
    'LoadSegAnnotations',
    'MNIST',
    'MaskFolder',
    'MiniatureADE20K',
    'MiniatureCOCO',
    'NCaltech101',
    'NMNIST',
    'PackDetection',
    'PascalContext59',
    'PascalVOC2012',
    'SHD',
    'SSC',
    'SeededIndex',
    'SeededItems',
    'SpokenDigits',
    'Text',
    'TimmRandAugment',
    'ToSequence',
    'checked_dataset',
    'draw_scene',
    'seeded',
    'write_scenes',
]


def __getattr__(name):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
