from ._pareto import pareto_front as pareto_front
from ._pool import run_sweep as run_sweep
from ._results import networks_of as networks_of
from ._space import Space as Space
from ._status import status_of as status_of
from ._storage import open_storage as open_storage
from ._study import find_study as find_study

__all__ = [
    "Space",
    "find_study",
    "networks_of",
    "open_storage",
    "pareto_front",
    "run_sweep",
    "status_of",
]
