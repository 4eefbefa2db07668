from ._registry import MODELS as MODELS
from ._registry import ModelEntry as ModelEntry
from ._registry import build_model as build_model
from ._registry import load_float_weights as load_float_weights
from ._registry import model_entry as model_entry
from ._spec import Method as Method
from ._spec import QuantSpec as QuantSpec

__all__ = [
    "MODELS",
    "Method",
    "ModelEntry",
    "QuantSpec",
    "build_model",
    "load_float_weights",
    "model_entry",
]
