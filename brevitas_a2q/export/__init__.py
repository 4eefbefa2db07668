"""From a trained Brevitas model to a file that computes the same integers: QONNX for FINN, QCDQ for onnxruntime."""
