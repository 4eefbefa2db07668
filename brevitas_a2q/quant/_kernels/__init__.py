"""The quantizers of ``quant.functional`` for one processor: whole rows at a time, compiled on first use.

A row of weights stays in the cache while it is scaled, rounded, checked against its budget and brought within it, where
a chain of tensor operations would travel to memory and back for each. Sums of codes are int64 and exact. Kernels see
NumPy arrays: weights ``(C, K)`` of float32 or float64, and int16 codes, which hold weights of up to 16 bits.
"""
