"""Does the promise hold? Upstream's A2Q and A2Q+ and the quantizers of this package, on the same channels.

Weights of 28 distributions, all types, widths and kinds of input are quantized; the exact worst case of every channel
over all inputs is computed in integers and compared with what P bits hold. Counted are channels that can overflow, and
channels that are not finite.

    python benchmarks/guarantee.py             # the whole grid, a few minutes on one core
    python benchmarks/guarantee.py --quick     # a fortieth of it

With ``--cells FILE`` every count is a line of that file once it is there, and a run goes on behind the last line.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import cycle, product
from pathlib import Path
from typing import Any

import brevitas
import brevitas.nn as qnn
import torch
from brevitas.quant import Int8Bias, Int16Bias, Int32Bias
from brevitas.quant.scaled_int import Int8AccumulatorAwareWeightQuant, Int8AccumulatorAwareZeroCenterWeightQuant
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor

from brevitas_a2q.bounds import IntRange, input_range
from brevitas_a2q.quant import _quantizers as quantizers

QUANTIZERS: dict[str, Any] = {
    "upstream A2Q": Int8AccumulatorAwareWeightQuant,
    "upstream A2Q+": Int8AccumulatorAwareZeroCenterWeightQuant,
    "A2Q": quantizers.Int8A2QWeightPerChannelFloat,
    "A2Q+": quantizers.Int8A2QPlusWeightPerChannelFloat,
    "projection": quantizers.Int8ProjectedA2QWeightPerChannelFloat,
}
CHANNELS = 250  # of one layer
Shape = tuple[int, int]


def _sparse(shape: Shape, share: float) -> Tensor:
    return torch.randn(shape) * (torch.rand(shape) < share)


DISTRIBUTIONS: dict[str, Callable[[Shape], Tensor]] = {
    "normal": torch.randn,
    "uniform": lambda s: torch.rand(s) * 2 - 1,
    "positive": torch.rand,
    "negative": lambda s: -torch.rand(s),
    "shifted": lambda s: torch.randn(s) + 0.5,
    "far shifted": lambda s: torch.randn(s) + 100,
    "laplace": lambda s: torch.distributions.Laplace(0.0, 1.0).sample(s),
    "cauchy": lambda s: torch.distributions.Cauchy(0.0, 1.0).sample(s).clamp(-1e4, 1e4),
    "kaiming": lambda s: torch.randn(s) * (2 / s[1]) ** 0.5,
    "half sparse": lambda s: _sparse(s, 0.5),
    "sparse": lambda s: _sparse(s, 0.05),
    "one weight": lambda s: torch.eye(*s),
    "zero": torch.zeros,
    "some zero": lambda s: torch.randn(s) * (torch.arange(s[0]) % 2).unsqueeze(1),
    "constant": lambda s: torch.full(s, 0.1),
    "negative constant": lambda s: torch.full(s, -0.3),
    "nearly constant": lambda s: 0.1 + 1e-8 * torch.randn(s),
    "constant but one": lambda s: torch.full(s, 0.1) + torch.eye(*s),
    "two values": lambda s: torch.randint(0, 2, s) * 2.0 - 1,
    "ternary": lambda s: torch.randint(-1, 2, s).float(),
    "alternating": lambda s: torch.ones(s) * (torch.arange(s[1]) % 2 * 2 - 1),
    "ramp": lambda s: torch.linspace(-1, 1, s[1]).expand(s).clone(),
    "outlier": lambda s: torch.randn(s) * 0.01 + torch.eye(*s),
    "ones": torch.ones,
    "huge": lambda s: torch.randn(s) * 1e4,
    "tiny": lambda s: torch.randn(s) * 1e-6,
    "tinier": lambda s: torch.randn(s) * 1e-30,
    "subnormal": lambda s: torch.randn(s) * 1e-40,
}


@dataclass(frozen=True)
class Setting:
    """One kind of run: types, inputs, bias; widths are gone through."""

    name: str
    channels: int
    dtype: torch.dtype = torch.float32
    convert: bool = False  # by ``.to`` after construction
    autocast: bool = False
    signed: tuple[bool, ...] = (False, True)
    accumulators: tuple[int, ...] = (8, 10, 12, 14, 16, 20, 24, 32)
    bias: Any = None
    zero_points: tuple[int, ...] = (0,)
    exponents: bool = False  # learned scales anywhere in their type, as steps of any length may leave them


SETTINGS = (
    Setting("float32", 70_000),
    Setting("float32, signed inputs, P >= 22", 28_000, signed=(True,), accumulators=(22, 24, 26, 28, 30, 32)),
    Setting("float64", 20_000, dtype=torch.float64),
    Setting("bfloat16 parameters", 22_400, dtype=torch.bfloat16),
    Setting("float16 parameters", 22_400, dtype=torch.float16),
    Setting("float16 by .to", 22_400, dtype=torch.float16, convert=True),
    Setting("autocast bfloat16", 20_000, autocast=True),
    Setting("int8 bias", 20_000, bias=Int8Bias, signed=(False,)),
    Setting("int16 bias", 20_000, bias=Int16Bias, signed=(False,)),
    Setting("int32 bias", 20_000, bias=Int32Bias, signed=(False,)),
    *(
        Setting(f"{name} bias, {str(dtype).removeprefix('torch.')}, any scale", 5_600, dtype, bias=bias, exponents=True)
        for name, bias in (("int8", Int8Bias), ("int16", Int16Bias), ("int32", Int32Bias))
        for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16)
    ),
    Setting("zero-point", 22_400, signed=(False,), zero_points=(1, 7, 100, 128, 255)),
)


@dataclass
class Count:
    """Channels that overflow, and that are not finite, of those looked at."""

    channels: int = 0
    overflows: int = 0
    not_finite: int = 0


def quant_input(size: int, bits: int, signed: bool, zero_point: int, dtype: torch.dtype) -> IntQuantTensor:
    """A quantized input of ones times the scale, carrying the metadata that quantizers read."""
    scale = torch.tensor(0.05, dtype=dtype)
    value = torch.ones(1, size, dtype=dtype) * scale
    return IntQuantTensor(
        value, scale, torch.tensor(float(zero_point), dtype=dtype), torch.tensor(float(bits)), signed, False
    )


def worst_sums(layer: Any, x: IntQuantTensor, inputs: IntRange) -> tuple[Tensor, Tensor, Tensor]:
    """Highest and lowest sum of each channel in int64, and which channels are finite."""
    weight = layer.quant_weight(x)
    value, scale = weight.value.double(), weight.scale.double()
    finite = torch.isfinite(value).all(1) & torch.isfinite(scale).all(1)
    codes = (value / scale).nan_to_num(0.0, 0.0, 0.0).round().long()
    plus, minus = codes.clamp_min(0).sum(1), (-codes.clamp_max(0)).sum(1)
    high, low = plus * inputs.hi - minus * inputs.lo, minus * -inputs.hi + plus * inputs.lo
    if layer.bias is not None:
        bias = layer.bias_quant(layer.bias, x, weight)
        added = (bias.value.double() / bias.scale.double()).nan_to_num(0.0, 0.0, 0.0).round().long().flatten()
        high, low = high + added.clamp_min(0), low + added.clamp_max(0)
    return high, low, finite


def grid(setting: Setting, quick: bool) -> Iterator[tuple[Callable[[Shape], Tensor], int, int, int, bool, int, int]]:
    """Distribution, P, M, N, sign, zero-point and K of each layer, until the setting has its number of channels."""
    cells = list(
        product(setting.accumulators, (8, 4), (8, 4, 7, 1), setting.signed, setting.zero_points, (9, 27, 128, 576))
    )
    layers = max(len(DISTRIBUTIONS), -(-setting.channels // (40 if quick else 1) // CHANNELS))
    order = torch.randperm(len(cells), generator=torch.Generator().manual_seed(0)).tolist()
    for i, make in zip(range(layers), cycle(DISTRIBUTIONS.values())):
        yield make, *cells[order[i % len(order)]]  # type: ignore[misc]


def run(name: str, setting: Setting, quick: bool) -> Count:
    """Count the failures of one quantizer in one setting."""
    torch.manual_seed(0)
    count = Count()
    for make, bits, weight_bits, input_bits, signed, zero_point, size in grid(setting, quick):
        layer = _layer(name, setting, make((CHANNELS, size)), bits, weight_bits)
        x = quant_input(size, input_bits, signed, zero_point, setting.dtype)
        if setting.exponents:
            _drift(layer, x)
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=setting.autocast):
            high, low, finite = worst_sums(layer, x, input_range(input_bits, signed, zero_point=zero_point))
        top = 1 << (bits - 1)
        count.channels += CHANNELS
        count.not_finite += int((~finite).sum())
        count.overflows += int((finite & ((high >= top) | (low < -top))).sum())
    return count


@torch.no_grad()
def _drift(layer: Any, x: IntQuantTensor) -> None:
    """Move every learned exponent anywhere within its type."""
    layer.quant_weight(x)
    reach = {torch.float16: 16.0, torch.float64: 1000.0}.get(layer.weight.dtype, 126.0)
    for name, parameter in layer.weight_quant.named_parameters():
        if name.endswith("scaling_impl.value"):
            parameter.copy_((torch.rand(parameter.shape) * 2 - 1) * reach)


def _layer(name: str, setting: Setting, weight: Tensor, bits: int, weight_bits: int) -> Any:
    layer = qnn.QuantLinear(
        weight.shape[1],
        CHANNELS,
        bias=setting.bias is not None,
        bias_quant=setting.bias,
        dtype=None if setting.convert else setting.dtype,
        weight_quant=QUANTIZERS[name],
        weight_bit_width=weight_bits,
        weight_accumulator_bit_width=bits,
    )
    state = {"weight": weight.to(layer.weight.dtype)}
    if layer.bias is not None:
        state["bias"] = torch.randn(CHANNELS)
    brevitas.config.IGNORE_MISSING_KEYS = True
    layer.load_state_dict(state)  # starts scale and norm from these weights, in either package
    return layer.eval().to(setting.dtype)


def counted(quick: bool, cells: Path | None) -> dict[str, dict[str, Count]]:
    """The counts of every setting and quantizer, those of the file of cells first."""
    lines = cells.read_text().splitlines(keepends=True) if cells and cells.exists() else []
    known = {(s, name): Count(**count) for s, name, count in (json.loads(line) for line in lines if line[-1:] == "\n")}
    for setting, name in product(SETTINGS, QUANTIZERS):
        if (setting.name, name) not in known:
            known[setting.name, name] = run(name, setting, quick)
            if cells:
                whole = (json.dumps([*key, asdict(count)]) + "\n" for key, count in known.items())
                cells.write_text("".join(whole))
    return {s.name: {name: known[s.name, name] for name in QUANTIZERS} for s in SETTINGS}


def markdown(rows: dict[str, dict[str, Count]]) -> str:
    """The counts as a table: channels that overflow / that are not finite."""
    names = list(QUANTIZERS)
    lines = ["| run (channels) | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for setting, counts in rows.items():
        cells = [f"{counts[name].overflows:,} / {counts[name].not_finite:,}" for name in names]
        lines.append(f"| {setting} ({counts[names[0]].channels:,}) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fortieth of the grid, no files written")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--cells", type=Path, help="keep what is counted here, and go on with it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = counted(options.quick, options.cells)
    table = markdown(rows)
    print("Channels that can overflow / channels that are NaN or infinite\n\n" + table)
    if not options.quick:
        options.out.mkdir(parents=True, exist_ok=True)
        record = {
            "brevitas": brevitas.__version__,
            "torch": torch.__version__,
            "counts": {setting: {name: asdict(c) for name, c in counts.items()} for setting, counts in rows.items()},
        }
        (options.out / "guarantee.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        heading = "# Channels that can overflow / channels that are NaN or infinite\n\n"
        (options.out / "guarantee.md").write_text(heading + table + "\n", encoding="utf-8")
    ours = [counts[name] for counts in rows.values() for name in ("A2Q", "A2Q+", "projection")]
    raise SystemExit(int(any(count.overflows or count.not_finite for count in ours)))


if __name__ == "__main__":
    main()
