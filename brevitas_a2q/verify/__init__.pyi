from ._agreement import differences as differences
from ._certificate import Certificate as Certificate
from ._certify import certify as certify
from ._simulate import simulate as simulate
from ._simulation import Simulation as Simulation

__all__ = [
    "Certificate",
    "Simulation",
    "certify",
    "differences",
    "simulate",
]
