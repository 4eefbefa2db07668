"""The quantizers of ``quant._functional`` for GPUs: Triton kernels, each compiled on its first launch.

What they compute is what :mod:`brevitas_a2q.quant._kernels` computes on a processor, operation by operation: quotients
are correctly rounded, ties are rounded to even, sums of codes are exact, thresholds are searched in float64. Launched
through :mod:`~brevitas_a2q.quant._triton.launch`, products and sums are not contracted to one rounding, so that codes
are the same to the bit. Only sums of gradients are added in another order; it is fixed, and no result depends on which
program ends first. Nothing is read back, and what is allocated depends on shapes alone, so that launches can be
captured in a CUDA graph.
"""
