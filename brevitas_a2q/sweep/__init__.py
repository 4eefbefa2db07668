"""Many training runs: a space of configurations, a queue that survives kills, and what came out."""

from brevitas_a2q._extras import need as _need
from brevitas_a2q._moved import face as _face

_need("sweeps", "optuna", "sqlalchemy")

__getattr__, __dir__, __all__ = _face(__name__, __file__)
