"""Benchmark networks, float and quantized, by name."""
