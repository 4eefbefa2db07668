from ._constrain import constrain_ as constrain_
from ._report import ConversionReport as ConversionReport

__all__ = [
    "ConversionReport",
    "constrain_",
]
