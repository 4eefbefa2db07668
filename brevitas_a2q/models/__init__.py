"""Benchmark networks, float and quantized, by name."""

from brevitas_a2q._moved import face as _face

__getattr__, __dir__, __all__ = _face(__name__, __file__)
