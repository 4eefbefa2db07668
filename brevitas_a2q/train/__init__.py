"""Training with an accumulator-aware quantizer."""
