"""The LUT count of the package's own synthesis, under the name that this folder's scripts import."""

from brevitas_a2q.rtl._packing import MEMORY_CELLS, pack

__all__ = ["MEMORY_CELLS", "pack"]
