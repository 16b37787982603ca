# sparch/ of github.com/idiap/sparch, neuron RLIF (Bittar and Garner, Front. Neurosci. 2022): its sizes, dropout
# rate, norm of hidden layers, optimizer and batch. Counts of 5 of the 700 channels are added here; there, each channel
# is its own. README.md here has the other differences.
_base_ = [
    '../_base_/models/rsnn_shd.py',
    '../_base_/datasets/shd.py',
    '../_base_/schedules/rsnn_adam_30e.py',
    '../_base_/default_runtime.py',
]
