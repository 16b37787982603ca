# Meta-SpikeFormer (Spike-driven Transformer v2) with Mask R-CNN at COCO's 1x schedule. As published: the backbone's
# sizes, a spiking pyramid, the anchors, pictures of 800 x 1333, 90,000 steps of 16 pictures and where their rate falls.
# Not as published: the published code starts from ImageNet's weights (model.backbone.init_cfg sets them here), trains
# longer, on pictures of many sizes, with T = 1 (here 4), and has neurons in the head. It was not trained here.
_base_ = [
    '../_base_/models/meta_spikeformer_15m_mask_rcnn.py',
    '../_base_/datasets/coco_masks.py',
    '../_base_/schedules/coco_1x.py',
    '../_base_/default_runtime.py',
]
