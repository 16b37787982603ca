# Meta-SpikeFormer (Spike-driven Transformer v2) with Mask R-CNN at COCO's 1x schedule. As published: the network's sizes,
# pictures of 800 x 1333, the pyramid, anchors and 90,000 steps of 16. Not as published: AdamW for SGD, initial weights (set
# model.backbone.init_cfg for pretrained ones), T = 4, and a head without neurons.
_base_ = [
    '../_base_/models/meta_spikeformer_15m_mask_rcnn.py',
    '../_base_/datasets/coco_masks.py',
    '../_base_/schedules/coco_1x.py',
    '../_base_/default_runtime.py',
]
