"""FINN-style FPGA estimates of a QONNX file: no torch, no Brevitas."""
