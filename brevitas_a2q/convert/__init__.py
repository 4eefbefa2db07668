"""One call from any model, float or Brevitas, to an accumulator-aware one."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
