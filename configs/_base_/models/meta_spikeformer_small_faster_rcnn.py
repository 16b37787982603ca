# The small Meta-SpikeFormer and its pyramid under Faster R-CNN's head, with anchors for pictures of 128 pixels, a
# narrow perceptron and few proposals: what a CPU core can train.
_base_ = 'meta_spikeformer_small_retinanet.py'
model = dict(
    detection_head=dict(
        _delete_=True,
        type='FasterRCNNHead',
        in_channels=48,
        anchor_sizes=[12, 24, 48],
        aspect_ratios=[0.6, 1.2, 2.8],
        fc_channels=128,
        proposals=(200, 100),
    )
)
