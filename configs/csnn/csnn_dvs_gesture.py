# train.py of github.com/fangwei123456/Parametric-Leaky-Integrate-and-Fire-Spiking-Neuron (Fang et al., ICCV 2021).
_base_ = [
    '../_base_/models/csnn_gesture.py',
    '../_base_/datasets/dvs_gesture.py',
    '../_base_/schedules/csnn_gesture_1024e.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(dataset=dict(T=20))
val_dataloader = dict(dataset=dict(T=20))
test_dataloader = dict(dataset=dict(T=20))
# five stages halve the 32 pixels to one
demo = dict(
    train_dataloader=dict(dataset=dict(size=32)),
    val_dataloader=dict(dataset=dict(size=32)),
    test_dataloader=dict(dataset=dict(size=32)),
)
