"""From a trained Brevitas model to a file that computes the same integers: QONNX for FINN, QCDQ for onnxruntime."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
