from . import bounds as bounds
from . import convert as convert
from . import data as data
from . import errors as errors
from . import export as export
from . import hw as hw
from . import models as models
from . import ptq as ptq
from . import quant as quant
from . import report as report
from . import rtl as rtl
from . import sweep as sweep
from . import train as train
from . import verify as verify
from ._config import A2QConfig as A2QConfig
from ._config import LayerRule as LayerRule
from .convert import ConversionReport as ConversionReport
from .convert import constrain_ as constrain_
from .errors import A2QError as A2QError
from .errors import CertificateError as CertificateError
from .errors import ConfigError as ConfigError
from .errors import DataError as DataError
from .errors import ExportError as ExportError
from .errors import FoldingError as FoldingError
from .errors import MissingExtraError as MissingExtraError
from .errors import ModelError as ModelError
from .errors import OnnxFileError as OnnxFileError
from .errors import PartError as PartError
from .errors import RtlError as RtlError
from .errors import SweepError as SweepError
from .export import ExportReport as ExportReport
from .export import export_qcdq as export_qcdq
from .export import export_qonnx as export_qonnx
from .ptq import PostTrainingConfig as PostTrainingConfig
from .ptq import PostTrainingReport as PostTrainingReport
from .ptq import quantize_post_training_ as quantize_post_training_
from .quant import Int8A2QPlusWeightPerChannelFixedPoint as Int8A2QPlusWeightPerChannelFixedPoint
from .quant import Int8A2QPlusWeightPerChannelFloat as Int8A2QPlusWeightPerChannelFloat
from .quant import Int8A2QPlusWeightPerTensorFixedPoint as Int8A2QPlusWeightPerTensorFixedPoint
from .quant import Int8A2QPlusWeightPerTensorFloat as Int8A2QPlusWeightPerTensorFloat
from .quant import Int8A2QWeightPerChannelFixedPoint as Int8A2QWeightPerChannelFixedPoint
from .quant import Int8A2QWeightPerChannelFloat as Int8A2QWeightPerChannelFloat
from .quant import Int8A2QWeightPerTensorFixedPoint as Int8A2QWeightPerTensorFixedPoint
from .quant import Int8A2QWeightPerTensorFloat as Int8A2QWeightPerTensorFloat
from .quant import Int8ProjectedA2QWeightPerChannelFixedPoint as Int8ProjectedA2QWeightPerChannelFixedPoint
from .quant import Int8ProjectedA2QWeightPerChannelFloat as Int8ProjectedA2QWeightPerChannelFloat
from .quant import Int8ProjectedA2QWeightPerTensorFixedPoint as Int8ProjectedA2QWeightPerTensorFixedPoint
from .quant import Int8ProjectedA2QWeightPerTensorFloat as Int8ProjectedA2QWeightPerTensorFloat
from .quant import a2q_penalty as a2q_penalty
from .quant import accumulator_aware as accumulator_aware
from .quant import accumulator_state as accumulator_state
from .quant import ep_init_ as ep_init_
from .quant import scale_init_ as scale_init_
from .verify import Certificate as Certificate
from .verify import certify as certify
from .verify import simulate as simulate

__version__: str

__all__ = [
    "A2QConfig",
    "A2QError",
    "Certificate",
    "CertificateError",
    "ConfigError",
    "ConversionReport",
    "DataError",
    "ExportError",
    "ExportReport",
    "FoldingError",
    "Int8A2QPlusWeightPerChannelFixedPoint",
    "Int8A2QPlusWeightPerChannelFloat",
    "Int8A2QPlusWeightPerTensorFixedPoint",
    "Int8A2QPlusWeightPerTensorFloat",
    "Int8A2QWeightPerChannelFixedPoint",
    "Int8A2QWeightPerChannelFloat",
    "Int8A2QWeightPerTensorFixedPoint",
    "Int8A2QWeightPerTensorFloat",
    "Int8ProjectedA2QWeightPerChannelFixedPoint",
    "Int8ProjectedA2QWeightPerChannelFloat",
    "Int8ProjectedA2QWeightPerTensorFixedPoint",
    "Int8ProjectedA2QWeightPerTensorFloat",
    "LayerRule",
    "MissingExtraError",
    "ModelError",
    "OnnxFileError",
    "PartError",
    "PostTrainingConfig",
    "PostTrainingReport",
    "RtlError",
    "SweepError",
    "a2q_penalty",
    "accumulator_aware",
    "accumulator_state",
    "bounds",
    "certify",
    "constrain_",
    "convert",
    "data",
    "ep_init_",
    "errors",
    "export",
    "export_qcdq",
    "export_qonnx",
    "hw",
    "models",
    "ptq",
    "quant",
    "quantize_post_training_",
    "report",
    "rtl",
    "scale_init_",
    "simulate",
    "sweep",
    "train",
    "verify",
]
