"""What a design is for: a part, a frame rate and a clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from brevitas_a2q.errors import ConfigError, FoldingError
from brevitas_a2q.hw._devices import Part, find_part

__all__ = ["DEFAULT_CLOCK_MHZ", "DEFAULT_PART", "Target"]

DEFAULT_PART: Final = "xczu7ev"
DEFAULT_CLOCK_MHZ: Final = 200.0


@dataclass(frozen=True)
class Target:
    """The FPGA that a network is to run on, and how fast.

    Args:
        part: Part or board, or a YAML file with one; ``brevitas-a2q parts`` lists them.
        target_fps: Frames per second to fold for; None for the least resources at any speed.
        clock_mhz: Clock of the accelerator, in MHz.

    Raises:
        ConfigError: A rate or clock that is not positive.
        FoldingError: More frames per second than the clock has cycles.

    Example:
        >>> Target("ZCU104", target_fps=1000).max_cycles
        200000
    """

    part: str = DEFAULT_PART
    target_fps: float | None = None
    clock_mhz: float = DEFAULT_CLOCK_MHZ

    def __post_init__(self) -> None:
        for name in ("target_fps", "clock_mhz"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"found {name} = {value}", where="estimate", expected="a positive number")
        if self.max_cycles == 0:
            raise FoldingError(
                f"found a target of {self.target_fps:g} frames per second",
                expected=f"at most one frame per clock cycle, {self.clock_mhz * 1e6:g} per second",
            )

    @property
    def max_cycles(self) -> int | None:
        """Most clock cycles per image; None without a rate."""
        return None if self.target_fps is None else int(self.clock_mhz * 1e6 // self.target_fps)

    def find_part(self) -> Part:
        """What the part has.

        Raises:
            PartError: No part or board of this name, or a file that holds none.
        """
        return find_part(self.part)
