"""Networks: layers, backbones, classifiers, segmentors and losses, one family a file."""
