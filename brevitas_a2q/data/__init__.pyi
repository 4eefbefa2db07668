from ._arrays import ImageData as ImageData
from ._arrays import batches as batches
from ._digits import load_digits as load_digits
from ._pairs import ImagePairs as ImagePairs
from ._registry import Data as Data
from ._registry import load_data as load_data

__all__ = [
    "Data",
    "ImageData",
    "ImagePairs",
    "batches",
    "load_data",
    "load_digits",
]
