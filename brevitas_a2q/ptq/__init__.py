"""Narrow accumulators without training: calibration, the solver under an exact budget, widths per layer."""

from brevitas_a2q.ptq.config import PostTrainingConfig
from brevitas_a2q.ptq.journal import Journal
from brevitas_a2q.ptq.post_training import quantize_post_training_
from brevitas_a2q.ptq.report import PostTrainingReport, PostTrainingRow
from brevitas_a2q.ptq.saved import restore_post_training_, save_post_training

__all__ = [
    "Journal",
    "PostTrainingConfig",
    "PostTrainingReport",
    "PostTrainingRow",
    "quantize_post_training_",
    "restore_post_training_",
    "save_post_training",
]
