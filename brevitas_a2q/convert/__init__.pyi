from ._constrain import constrain_ as constrain_
from ._report import ConversionReport as ConversionReport
from ._report import ConversionRow as ConversionRow

__all__ = [
    "ConversionReport",
    "ConversionRow",
    "constrain_",
]
