"""What a comparison with the QONNX executor found."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ExecutorCheck"]


@dataclass(frozen=True)
class ExecutorCheck:
    """The reference integers against the QONNX executor's."""

    images: int
    integers: int  # compared
    units: tuple[str, ...]  # whose integers the file has a tensor of
    differences: tuple[str, ...]  # units whose integers differ, with the first image

    @property
    def equal(self) -> bool:
        """Whether all of them are the same."""
        return not self.differences
