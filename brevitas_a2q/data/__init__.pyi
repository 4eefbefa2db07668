from ._arrays import ImageData as ImageData
from ._pairs import ImagePairs as ImagePairs
from ._registry import load_data as load_data

__all__ = [
    "ImageData",
    "ImagePairs",
    "load_data",
]
