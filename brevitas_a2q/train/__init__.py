"""Training with an accumulator-aware quantizer."""

from brevitas_a2q.train.calibrate import calibrate
from brevitas_a2q.train.loop import EpochRecord, History, TrainConfig, accuracy, fit
from brevitas_a2q.train.seeds import seed_everything

__all__ = ["EpochRecord", "History", "TrainConfig", "accuracy", "calibrate", "fit", "seed_everything"]
