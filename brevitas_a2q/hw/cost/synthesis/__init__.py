"""Our model: equations with a source, coefficients fitted to synthesis of reference RTL.

:func:`cost` prices any folded unit; :func:`predict_row` prices one row of a synthesis grid (a bare circuit).
"""

from brevitas_a2q.hw.cost.synthesis.dispatch import cost
from brevitas_a2q.hw.cost.synthesis.rows import grid_row_to_prediction, predict_row

__all__ = ["cost", "grid_row_to_prediction", "predict_row"]
