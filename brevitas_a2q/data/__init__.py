"""Data sets by name, and the tasks they are for."""

from brevitas_a2q.data.arrays import ImageData, batches
from brevitas_a2q.data.digits import load_digits
from brevitas_a2q.data.pairs import ImagePairs, bicubic_psnr_db
from brevitas_a2q.data.registry import DATA_SETS, Data, load_data
from brevitas_a2q.data.tasks import TASKS, Task, psnr_db

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
