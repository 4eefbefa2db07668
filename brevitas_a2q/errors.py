"""Named errors. Every one says where it happened, what was found, what was expected, and what to do about it."""

from __future__ import annotations

__all__ = [
    "A2QError",
    "CertificateError",
    "ConfigError",
    "DataError",
    "ExportError",
    "FoldingError",
    "MissingExtraError",
    "ModelError",
    "OnnxFileError",
    "PartError",
    "RtlError",
    "SweepError",
]


class A2QError(ValueError):
    """Bad input to this package; the command line prints it as one line and exits with status 2.

    Args:
        message: What was found, in one sentence without a final full stop.
        where: The layer, node or file it was found in.
        expected: What would have been accepted.
        remedy: What the user can do.

    Attributes:
        where, expected, remedy: As given, for programs.

    Example:
        >>> print(A2QError("found P = 1", where="layer conv1", expected="2 <= P <= 64", remedy="choose a wider one"))
        layer conv1: found P = 1; expected 2 <= P <= 64; choose a wider one
    """

    def __init__(
        self, message: str, *, where: str | None = None, expected: str | None = None, remedy: str | None = None
    ) -> None:
        self.where, self.expected, self.remedy = where, expected, remedy
        text = f"{where}: {message}" if where else message
        if expected:
            text += f"; expected {expected}"
        if remedy:
            text += f"; {remedy}"
        super().__init__(" ".join(text.split()))


class MissingExtraError(A2QError, ImportError):
    """A feature whose packages are not installed; the remedy names the extra that brings them."""


class ConfigError(A2QError):
    """A configuration with an unknown key or a value outside its range."""


class ModelError(A2QError):
    """A PyTorch model or layer that cannot be handled; ``where`` names the layer."""


class OnnxFileError(A2QError):
    """An ONNX file that is damaged, unsafe, or not a QONNX network; ``where`` names the file or node."""


class CertificateError(A2QError):
    """A certificate file that cannot be read or belongs to other weights."""


class ExportError(A2QError):
    """A file that cannot be written, or would not compute what the PyTorch model computes; nothing is left behind."""


class PartError(A2QError):
    """An FPGA part that is not in the table."""


class FoldingError(A2QError):
    """A folding that is illegal, or a target no folding reaches; ``where`` names the layer that binds."""


class RtlError(A2QError):
    """An accelerator that cannot be generated, simulated or synthesised; ``where`` names the unit or the tool."""


class DataError(A2QError):
    """A data set that is missing or damaged; the message says how to get it."""


class SweepError(A2QError):
    """A sweep whose space, storage or study cannot be used."""
