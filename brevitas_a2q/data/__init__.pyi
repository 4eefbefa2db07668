from ._arrays import ImageData as ImageData
from ._arrays import batches as batches
from ._digits import load_digits as load_digits
from ._pairs import ImagePairs as ImagePairs
from ._pairs import bicubic_psnr_db as bicubic_psnr_db
from ._registry import DATA_SETS as DATA_SETS
from ._registry import Data as Data
from ._registry import load_data as load_data
from ._tasks import TASKS as TASKS
from ._tasks import Task as Task
from ._tasks import psnr_db as psnr_db

__all__ = [
    "DATA_SETS",
    "TASKS",
    "Data",
    "ImageData",
    "ImagePairs",
    "Task",
    "batches",
    "bicubic_psnr_db",
    "load_data",
    "load_digits",
    "psnr_db",
]
