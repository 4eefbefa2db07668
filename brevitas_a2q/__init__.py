"""Accumulator-aware quantization for Brevitas: weights whose dot products cannot overflow P bits, whatever the input.

Names are imported on first use, so that what needs no torch (``bounds``, ``hw``) starts without it. Every package has a
flat face, listed in its ``__init__.pyi``; modules whose names begin with an underscore may move.
"""

import logging as _logging

from brevitas_a2q._moved import face as _face

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = _face(__name__, __file__)

# torch, on a machine without a GPU, tells of a compiler that nothing here uses, when Brevitas is imported.
_logging.getLogger("torch.utils.cpp_extension").addFilter(lambda told: "No CUDA runtime" not in told.getMessage())
