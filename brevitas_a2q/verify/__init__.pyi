from ._agreement import differences as differences
from ._certificate import Certificate as Certificate
from ._certificate import ChannelCertificate as ChannelCertificate
from ._certificate import LayerCertificate as LayerCertificate
from ._certify import certify as certify
from ._document import read_certificate as read_certificate
from ._simulate import simulate as simulate
from ._simulation import Simulation as Simulation

__all__ = [
    "Certificate",
    "ChannelCertificate",
    "LayerCertificate",
    "Simulation",
    "certify",
    "differences",
    "read_certificate",
    "simulate",
]
