# Meta-SpikeFormer, 15 M, with a spiking feature pyramid under Faster R-CNN's head: Mask R-CNN's without its masks.
_base_ = 'meta_spikeformer_15m_mask_rcnn.py'
model = dict(detection_head=dict(type='FasterRCNNHead'))
