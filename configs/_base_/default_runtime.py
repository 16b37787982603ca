# What every run shares: logging, checkpoints, reproducibility.
default_scope = 'a2sg_zoo'
randomness = dict(seed=0)
env_cfg = dict(
    cudnn_benchmark=True, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl')
)
log_level = 'INFO'
load_from = None
resume = False
