"""From a trained Brevitas model to a file that computes the same integers: QONNX for FINN, QCDQ for onnxruntime."""

from brevitas_a2q._moved import face as _face

__getattr__, __dir__, __all__ = _face(__name__, __file__)
