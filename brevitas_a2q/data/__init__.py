"""Data sets by name."""

from brevitas_a2q.data.arrays import ImageData, batches
from brevitas_a2q.data.digits import load_digits

__all__ = ["ImageData", "batches", "load_digits"]
