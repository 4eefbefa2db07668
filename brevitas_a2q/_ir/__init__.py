"""The integer network: what a QONNX file computes, as integers with ranges. NumPy and onnx only, no torch.

``read`` is imported on first use, so that who needs the data types only does not load onnx.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brevitas_a2q._ir.network import Network as Network
    from brevitas_a2q._ir.reader import read_network as read

__all__ = ["Network", "read"]


def __getattr__(name: str) -> Any:
    if name == "read":
        from brevitas_a2q._ir.reader import read_network

        return read_network
    if name == "Network":
        from brevitas_a2q._ir.network import Network

        return Network
    raise AttributeError(f"module 'brevitas_a2q._ir' has no attribute {name!r}")
