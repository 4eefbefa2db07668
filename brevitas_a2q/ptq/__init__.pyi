from ._config import PostTrainingConfig as PostTrainingConfig
from ._post_training import quantize_post_training_ as quantize_post_training_
from ._report import PostTrainingReport as PostTrainingReport
from ._saved import restore_post_training_ as restore_post_training_
from ._saved import save_post_training as save_post_training

__all__ = [
    "PostTrainingConfig",
    "PostTrainingReport",
    "quantize_post_training_",
    "restore_post_training_",
    "save_post_training",
]
