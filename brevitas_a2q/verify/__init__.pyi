from ._agreement import differences as differences
from ._certificate import Certificate as Certificate
from ._certificate import read_certificate as read_certificate
from ._certify import certify as certify
from ._layer_certificate import ChannelCertificate as ChannelCertificate
from ._layer_certificate import LayerCertificate as LayerCertificate
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
