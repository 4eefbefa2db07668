"""Benchmark networks, float and quantized, by name."""

from brevitas_a2q.models.registry import MODELS, build_model, load_float_weights
from brevitas_a2q.models.spec import Method, QuantSpec

__all__ = ["MODELS", "Method", "QuantSpec", "build_model", "load_float_weights"]
