"""The hooks of a run."""

from a2sg_zoo.engine.hooks.adaptation import AdaptationHook
from a2sg_zoo.engine.hooks.checkpoint import AtomicCheckpointHook, AtomicLocalBackend
from a2sg_zoo.engine.hooks.delays import NarrowDelays
from a2sg_zoo.engine.hooks.frozen import FrozenHook
from a2sg_zoo.engine.hooks.guard import NonFiniteGuard
from a2sg_zoo.engine.hooks.membrane_loss import MembraneLoss
from a2sg_zoo.engine.hooks.mistakes import ClassificationPictures
from a2sg_zoo.engine.hooks.mixing import StopMixing
from a2sg_zoo.engine.hooks.pictures import DetectionPictures, SegmentationPictures
from a2sg_zoo.engine.hooks.progress import ProgressHook
from a2sg_zoo.engine.hooks.reproducibility import RunInfoHook, StepSeedHook
from a2sg_zoo.engine.hooks.resume import ResumeHook
from a2sg_zoo.engine.hooks.sharding import ShardingHook
from a2sg_zoo.engine.hooks.time_steps import GrowTimeSteps
from a2sg_zoo.engine.hooks.training_scores import TrainingScores
from a2sg_zoo.engine.hooks.whiten import WhitenStem

__all__ = [
    'AdaptationHook',
    'AtomicCheckpointHook',
    'AtomicLocalBackend',
    'ClassificationPictures',
    'DetectionPictures',
    'FrozenHook',
    'GrowTimeSteps',
    'MembraneLoss',
    'NarrowDelays',
    'NonFiniteGuard',
    'ProgressHook',
    'ResumeHook',
    'RunInfoHook',
    'SegmentationPictures',
    'ShardingHook',
    'StepSeedHook',
    'StopMixing',
    'TrainingScores',
    'WhitenStem',
]
