"""Layers that an accumulator-aware weight quantizer cannot serve."""

from __future__ import annotations

from torch import nn

from brevitas_a2q.errors import ModelError

__all__ = ["refuse_layers_without_one_accumulator"]


def refuse_layers_without_one_accumulator(layer: nn.Module) -> None:
    """Raise :class:`ModelError` for embeddings and the gates of recurrent layers."""
    kind = type(layer).__name__
    if isinstance(layer, nn.Embedding):
        raise ModelError("an embedding adds no products", where=f"layer {kind}", remedy="use a plain weight quantizer")
    if kind == "GateWeight":  # Brevitas' recurrent layers ask for weights without an input, one quantizer for two sums
        raise ModelError(
            "recurrent layers of Brevitas sum input and hidden products in one accumulator without telling the "
            "quantizer either range",
            where=f"layer {kind} of a QuantRNN or QuantLSTM",
            expected="a linear or convolutional layer",
            remedy="use a plain weight quantizer there",
        )
