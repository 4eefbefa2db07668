"""Benchmark networks, float and quantized, by name."""

from brevitas_a2q.models.registry import MODELS, ModelEntry, build_model, load_float_weights, model_entry
from brevitas_a2q.models.spec import Method, QuantSpec

__all__ = ["MODELS", "Method", "ModelEntry", "QuantSpec", "build_model", "load_float_weights", "model_entry"]
