"""Export to QONNX that keeps the promise."""
