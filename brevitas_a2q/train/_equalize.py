"""Equalization of a float network before it is quantized.

Channels of one tensor share one activation scale, and a channel of small range then keeps few of its levels. Because
ReLU, pooling and sums are positively homogeneous, a channel can be scaled up where it is made and its weights scaled
down where it is read, without changing what the network computes.

Source: M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, *Data-Free Quantization Through Weight Equalization and
Bias Correction*, ICCV 2019 (arXiv 1906.04721), section 4.1, generalised to residual sums and concatenations by
Brevitas' ``EqualizeGraph``. Batch norm stays where it is: its gain and offset are the source that is scaled.
"""

from __future__ import annotations

import warnings

from torch import nn
from torch.fx import symbolic_trace

from brevitas_a2q.errors import ModelError

with warnings.catch_warnings():
    # On import Brevitas' graph tools warn of an optional package and of a part of themselves that is to go.
    warnings.simplefilter("ignore")
    from brevitas_a2q._brevitas import EqualizeGraph

__all__ = ["equalize_"]


def equalize_(model: nn.Module) -> int:
    """Equalize the ranges of channels across layers, in place; what the network computes stays up to rounding.

    Modules and parameters keep their names, so that the result loads into the quantized form of the same network.

    Args:
        model: Float network in evaluation mode.

    Returns:
        Number of groups of layers that were equalized with each other.

    Raises:
        ModelError: The network is in training mode, or ``torch.fx`` cannot trace it.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
        >>> equalize_(model)
        1
    """
    where = f"model {type(model).__name__}"
    if model.training:
        raise ModelError("is in training mode", where=where, expected="evaluation mode", remedy="call model.eval()")
    try:
        graph = symbolic_trace(model)
    except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError, KeyError, IndexError) as error:
        raise ModelError(
            f"cannot be traced for equalization ({error})",
            where=where,
            expected="a network without control flow on data",
            remedy="start it without equalization",
        ) from error
    with warnings.catch_warnings():
        # A dense layer behind a flattened image reads each channel many times; Brevitas leaves such a pair alone.
        warnings.filterwarnings("ignore", message="Detected source and sink with non compatible shapes")
        _, regions = EqualizeGraph(return_regions=True).apply(graph)
    return len(regions)
