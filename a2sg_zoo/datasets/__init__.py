"""The data sets: ADE20K SceneParse150, and a miniature of its layout that is drawn on the spot."""

from a2sg_zoo.datasets.ade20k import ADE20K, LoadImage, LoadSegAnnotations
from a2sg_zoo.datasets.miniature import MiniatureADE20K
from a2sg_zoo.datasets.scenes import draw_scene, write_scenes
from a2sg_zoo.datasets.seeding import SeededIndex, SeededItems, seeded

__all__ = [
    'ADE20K', 'LoadImage', 'LoadSegAnnotations', 'MiniatureADE20K', 'SeededIndex', 'SeededItems', 'draw_scene',
    'seeded', 'write_scenes']
