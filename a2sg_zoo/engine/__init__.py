"""What surrounds a training run: checkpoints, reproducibility, guards, metrics, pictures, and checks of the config."""

from a2sg_zoo.checkpoint import find_resume_checkpoint, load_into, read_checkpoint
from a2sg_zoo.engine.classification_metrics import Accuracy
from a2sg_zoo.engine.guard import NonFiniteGuard
from a2sg_zoo.engine.metrics import SegmentationMetric
from a2sg_zoo.engine.pictures import SegmentationPictures
from a2sg_zoo.engine.reproducibility import ResumableEpochSampler, ResumableSampler, RunInfoHook, StepSeedHook
from a2sg_zoo.engine.saving import AtomicCheckpointHook, AtomicLocalBackend
from a2sg_zoo.engine.sharding import ShardingHook
from a2sg_zoo.engine.validate import load_config, validate_config

__all__ = [
    'Accuracy', 'AtomicCheckpointHook', 'AtomicLocalBackend', 'NonFiniteGuard', 'ResumableEpochSampler',
    'ResumableSampler', 'RunInfoHook', 'SegmentationMetric', 'SegmentationPictures', 'ShardingHook',
    'StepSeedHook', 'find_resume_checkpoint', 'load_config', 'load_into', 'read_checkpoint', 'validate_config']
