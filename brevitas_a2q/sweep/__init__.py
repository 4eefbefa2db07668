"""Many training runs: a space of configurations, a queue that survives kills, and what came out."""

import lazy_loader as _lazy

from brevitas_a2q._extras import need as _need

_need("sweeps", "optuna", "sqlalchemy")

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
