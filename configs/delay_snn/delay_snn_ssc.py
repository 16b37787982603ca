# best_config_SSC.py of github.com/Thvnvtos/SNN-delays (Hammouamri et al., ICLR 2024).
_base_ = [
    '../_base_/models/delay_snn_ssc.py',
    '../_base_/datasets/ssc.py',
    '../_base_/schedules/delay_snn_ssc_60e.py',
    '../_base_/default_runtime.py',
]
