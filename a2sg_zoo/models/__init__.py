"""Networks: layers, backbones, classifiers, segmentors and losses, one family in each file.

A backbone maps images (B, C, H, W) or event frames (T, B, C, H, W) to feature maps. A classifier or a segmentor joins a
backbone and a head, and a loss compares their output with the truth. All of them are built from configs by the registry
`MODELS`, or by their constructors.
"""
