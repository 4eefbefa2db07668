from ._calibrate import calibrate as calibrate
from ._callbacks import lightning_callback as lightning_callback
from ._callbacks import trainer_callback as trainer_callback
from ._config import RunConfig as RunConfig
from ._loop import TrainConfig as TrainConfig
from ._loop import accuracy as accuracy
from ._loop import fit as fit
from ._recipes import RECIPES as RECIPES
from ._recipes import Recipe as Recipe
from ._run import run as run
from ._seeds import seed_everything as seed_everything

__all__ = [
    "RECIPES",
    "Recipe",
    "RunConfig",
    "TrainConfig",
    "accuracy",
    "calibrate",
    "fit",
    "lightning_callback",
    "run",
    "seed_everything",
    "trainer_callback",
]
