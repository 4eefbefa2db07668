from ._results import networks_of as networks_of
from ._status import read_sweep as read_sweep

__all__ = [
    "networks_of",
    "read_sweep",
]
