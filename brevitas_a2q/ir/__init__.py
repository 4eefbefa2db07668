"""The integer network: what a QONNX file computes, as integers with ranges. NumPy and onnx only, no torch."""
