"""One call from any model, float or Brevitas, to an accumulator-aware one."""

from brevitas_a2q.convert.constrain import constrain_
from brevitas_a2q.convert.report import ConversionReport, ConversionRow

__all__ = ["ConversionReport", "ConversionRow", "constrain_"]
