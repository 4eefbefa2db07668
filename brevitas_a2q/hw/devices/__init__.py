"""FPGA parts and boards."""
