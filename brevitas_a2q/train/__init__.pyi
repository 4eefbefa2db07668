from ._calibrate import calibrate as calibrate
from ._callbacks import lightning_callback as lightning_callback
from ._callbacks import trainer_callback as trainer_callback
from ._config import RunConfig as RunConfig
from ._loop import fit as fit
from ._recipes import Recipe as Recipe
from ._restore import trained_network as trained_network
from ._run import run as run

__all__ = [
    "Recipe",
    "RunConfig",
    "calibrate",
    "fit",
    "lightning_callback",
    "run",
    "trained_network",
    "trainer_callback",
]
