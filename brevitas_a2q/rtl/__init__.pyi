from ._build import build as build
from ._simulators import find_simulator as find_simulator
from ._witness import additions as additions

__all__ = [
    "additions",
    "build",
    "find_simulator",
]
