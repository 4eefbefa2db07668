"""Accumulator-aware weight quantizers for Brevitas."""
