_base_ = [
    '../_base_/models/meta_spikeformer_small_spiking_retinanet.py',
    '../_base_/datasets/small_scenes.py',
    '../_base_/schedules/small_scenes_1k.py',
    '../_base_/default_runtime.py',
]
