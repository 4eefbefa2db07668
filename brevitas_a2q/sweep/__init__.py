"""Many training runs: a space of configurations, a queue that survives kills, and what came out."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
