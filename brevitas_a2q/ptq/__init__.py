"""Narrow accumulators without training: calibration, the solver under an exact budget, widths per layer."""

from brevitas_a2q._moved import face as _face

__getattr__, __dir__, __all__ = _face(__name__, __file__)
