from ._pretrained import pretrained as pretrained
from ._pretrained import pretrained_files as pretrained_files
from ._registry import build_model as build_model
from ._registry import load_float_weights as load_float_weights
from ._spec import QuantSpec as QuantSpec

__all__ = [
    "QuantSpec",
    "build_model",
    "load_float_weights",
    "pretrained",
    "pretrained_files",
]
