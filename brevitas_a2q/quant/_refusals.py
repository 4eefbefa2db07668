"""Layers that an accumulator-aware weight quantizer cannot serve."""

from __future__ import annotations

import sys

from torch import nn

from brevitas_a2q.errors import ModelError

__all__ = ["refuse_gptq", "refuse_layers_without_one_accumulator"]


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


def refuse_gptq(layer: nn.Module, name: str) -> None:
    """Raise :class:`ModelError` where Brevitas' GPTQ is at work on a layer.

    It asks for one column of the weights at a time, and spreads what rounding it has cost over the columns that are
    left. The budget belongs to the whole row, which is projected only when GPTQ is done: that undoes what it spread,
    and leaves a larger error than it found. GPFQ asks for all columns up to now, and may be used.
    """
    gptq = sys.modules.get("brevitas.graph.gptq")
    if gptq is None:
        return
    for hook in layer._forward_pre_hooks.values():
        owner = getattr(getattr(hook, "func", None), "__self__", None)
        if isinstance(owner, gptq.GPTQ):
            raise ModelError(
                "GPTQ rounds one weight at a time, and an accumulator's budget belongs to all weights of a channel",
                where=name,
                expected="a solver that knows the budget",
                remedy="call brevitas_a2q.ptq.quantize_post_training_ on the model, or use GPFQ",
            )
