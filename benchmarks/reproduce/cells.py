"""Every run of the reproduction, in order of value: what the papers' tables need, and first seeds, first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from brevitas_a2q.train._config import RunConfig

__all__ = ["CELLS", "Cell"]

SEEDS = (0, 1, 2)
METHODS = ("projected", "a2q+", "a2q")


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        name: Also the name of its folder and of its result.
        group: Rows of one table: letters as in the queue's order, ``cpu-`` before those short enough for a CPU.
        values: Its configuration; data folder, device and float weights are added where it runs.
        float_cell: The cell whose float weights it starts from.
    """

    name: str
    group: str
    values: Mapping[str, Any]
    float_cell: str | None = None

    @property
    def short(self) -> bool:
        """Whether it fits into minutes of a CPU."""
        return self.group.startswith("cpu-")

    def config(self, **where: Any) -> RunConfig:
        """The run's configuration."""
        return RunConfig.from_dict({**self.values, **where}, self.name)


@dataclass(frozen=True)
class Family:
    """What the cells of one network share."""

    label: str
    group: str
    base: Mapping[str, Any]  # of every run
    float_recipe: Mapping[str, Any]
    recipe: Mapping[str, Any]  # of every quantized run, whatever its method and widths
    start: Mapping[str, Any]

    def floating(self, seed: int) -> Cell:
        values = {**self.base, "quant": None, "recipe": self.float_recipe, "seed": seed}
        return Cell(f"{self.label}-float-s{seed}", self.group, values)

    def quantized(self, method: str, m: int, n: int, p: int, seed: int, group: str | None = None) -> Cell:
        quant = {
            "method": method,
            "weight_bit_width": m,
            "activation_bit_width": n,
            "accumulator_bit_width": p,
        }
        values = {**self.base, "quant": quant, "recipe": self.recipe, "start": self.start, "seed": seed}
        width = "" if method == "none" else f"-p{p}"
        name = f"{self.label}-w{m}a{n}-{method.replace('+', '-plus')}{width}-s{seed}"
        return Cell(name, group or self.group, values, f"{self.label}-float-s0")


_ESTIMATE = {"part": "xczu7ev-ffvc1156-2-e", "target_fps": 1000.0}
_GPU = {"amp": "bf16"}
_SGD = {
    "optimizer": "sgd",
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 5e-4,
    "decay": "weights",
    "warmup_share": 0.25,
    "batch_size": 256,
    "loss": "smoothed-cross-entropy",
}

# One recipe for all methods and widths. The float phase is the package's short one-cycle recipe; the quantized phase
# starts from its weights at a tenth of the rate.
RESNET18 = Family(
    "resnet18",
    "a",
    {"model": "resnet18", "data": "cifar10", "estimate": _ESTIMATE, "runtime": _GPU},
    {"base": "one-cycle-cifar10", "epochs": 40},
    {"base": "one-cycle-cifar10", "epochs": 20, "learning_rate": 0.01},
    {},
)
MOBILENET = Family(
    "mobilenet-v1",
    "d",
    {"model": "mobilenet-v1", "data": "cifar10", "estimate": _ESTIMATE, "runtime": _GPU},
    {"base": "one-cycle-cifar10", "epochs": 40},
    {"base": "one-cycle-cifar10", "epochs": 20, "learning_rate": 0.01},
    {},
)


def _super_resolution(
    label: str, group: str, model: str, recipe: Mapping[str, Any], start_rate: float, rate: float, **options: Any
) -> Family:
    """Rates of float and of quantized training; what is for the network itself is taken out of the data options."""
    runtime = options.pop("runtime", {})
    width = {key: options.pop(key) for key in ("upscale_factor", "width") if key in options}
    base = {
        "model": model,
        "model_options": width,
        "data": "bsd300",
        "data_options": {"factor": width["upscale_factor"], **options},
        "runtime": runtime,
        "estimate": {"part": _ESTIMATE["part"]},
    }
    recipe = {"optimizer": "adam", "batch_norm_epochs": 1, **recipe}
    return Family(label, group, base, {**recipe, "learning_rate": start_rate}, {**recipe, "learning_rate": rate}, {})


# Windows of 512 pixels, black outside of the photographs, as published and as judged: a network that has not seen
# black would be judged by two pixels in five that it was not trained for.
_LONG = {"batch_size": 8, "epochs": 300}
ESPCN_X2 = _super_resolution("espcn-x2", "b", "espcn", _LONG, 1e-3, 1e-3, upscale_factor=2, crop=512)
ESPCN_X3 = _super_resolution("espcn-x3", "c", "espcn", _LONG, 1e-3, 1e-3, upscale_factor=3, crop=512)
UNET_X3 = _super_resolution("unet-x3", "d", "unet", _LONG, 1e-3, 1e-3, upscale_factor=3, crop=512)

# Whole networks in hours of a CPU: bf16, few epochs, one schedule and rate for all methods and widths. ESPCN's rates
# were chosen on training images held out of training (benchmarks/recipes.py); those of ResNet18 are not yet. Windows
# are of the square of 512 pixels that is judged, black margins included.
_WHOLE = {"amp": "bf16", "channels_last": True}
WHOLE_ESPCN = _super_resolution(
    "whole-espcn-x2",
    "cpu-whole",
    "espcn",
    {"batch_size": 16, "epochs": 6},
    4e-3,
    5e-4,
    upscale_factor=2,
    crop=64,
    canvas=True,
    windows_per_image=40,
    runtime=_WHOLE,
)
WHOLE_RESNET18 = Family(
    "whole-resnet18",
    "cpu-whole",
    {"model": "resnet18", "data": "cifar10", "estimate": _ESTIMATE, "runtime": _WHOLE},
    {**_SGD, "learning_rate": 0.2, "epochs": 15, "first_image_size": 16},
    {**_SGD, "learning_rate": 0.02, "epochs": 3},
    {},
)

# Short forms, narrower and of few epochs. They compare methods with each other, not with papers. Many small windows
# raise the metric fastest in a given time; they lie inside of the photographs, so ESPCN is judged by photographs alone.
# Rates, batch size, and size and number of windows were chosen on 20 training images held out of training
# (``data_options.validation``), with float ESPCN, and with A2Q+ and the projection at W4A4, P = 10: of two rates, the
# one that is better for A2Q+.
_SHORT = {"batch_size": 16, "epochs": 3}
_MANY = {"windows_per_image": 120}
CPU_ESPCN = _super_resolution(
    "cpu-espcn-half-x2",
    "cpu-b",
    "espcn",
    _SHORT,
    4e-3,
    2e-3,
    upscale_factor=2,
    width=32,
    crop=32,
    protocol="whole",
    **_MANY,
)
CPU_UNET = _super_resolution(
    "cpu-unet-half-x3", "cpu-c", "unet", _SHORT, 4e-3, 2e-3, upscale_factor=3, width=16, crop=48, **_MANY
)
CPU_RESNET18 = Family(
    "cpu-resnet18-quarter",
    "cpu-a",
    {"model": "resnet18", "model_options": {"width": 16}, "data": "cifar10-subset", "estimate": _ESTIMATE},
    {"optimizer": "adam", "learning_rate": 4e-3, "batch_size": 50, "epochs": 30},
    {"optimizer": "adam", "learning_rate": 2e-3, "batch_size": 50, "epochs": 10},
    {},
)
CPU_MOBILENET = Family(
    "cpu-mobilenet-v1-quarter",
    "cpu-c",
    {"model": "mobilenet-v1", "model_options": {"width": 8}, "data": "cifar10", "estimate": _ESTIMATE},
    {"optimizer": "adam", "learning_rate": 4e-3, "batch_size": 100, "epochs": 3},
    {"optimizer": "adam", "learning_rate": 2e-3, "batch_size": 100, "epochs": 1},
    {},
)


def _cells() -> Iterator[Cell]:
    yield from _whole()
    yield from _short()
    for seed in SEEDS:
        yield RESNET18.floating(seed)
        yield RESNET18.quantized("none", 4, 4, 32, seed)
        for p in (12, 16, 14, 10, 13, 11, 32):
            yield from (RESNET18.quantized(method, 4, 4, p, seed) for method in METHODS)
        yield ESPCN_X2.floating(seed)
        yield from (ESPCN_X2.quantized("none", w, w, 32, seed) for w in (8, 4))
        for w, p in ((8, 16), (4, 13), (4, 12), (4, 10)):
            yield from (ESPCN_X2.quantized(method, w, w, p, seed) for method in METHODS)
        for family in (RESNET18, MOBILENET, ESPCN_X3, UNET_X3):
            if family is not RESNET18:
                yield family.floating(seed)
            yield from (family.quantized(method, 8, 8, 16, seed, "c") for method in METHODS)
        for p in (16, 14, 12):
            yield from (MOBILENET.quantized(method, 4, 4, p, seed) for method in METHODS)
            yield from (UNET_X3.quantized(method, 4, 4, p, seed) for method in METHODS)
    yield from _grid()


def _whole() -> Iterator[Cell]:
    for family, ladder in ((WHOLE_ESPCN, (13, 10, 12)), (WHOLE_RESNET18, (12, 16, 10, 11, 14))):
        yield family.floating(0)
        yield from _ladder(family, 4, ladder, 0)
        yield from _ladder(family, 8, (16,), 0)
    for seed in SEEDS[1:]:
        yield from _ladder(WHOLE_ESPCN, 4, (13, 10, 12), seed)
        yield from _ladder(WHOLE_ESPCN, 8, (16,), seed)


def _ladder(family: Family, width: int, accumulators: Iterable[int], seed: int) -> Iterator[Cell]:
    """Unconstrained, then every method at every P; weights and activations of one width."""
    yield family.quantized("none", width, width, 32, seed)
    for p in accumulators:
        yield from (family.quantized(method, width, width, p, seed) for method in METHODS)


def _short() -> Iterator[Cell]:
    families = (CPU_ESPCN, CPU_RESNET18, CPU_UNET, CPU_MOBILENET)
    yield from (family.floating(0) for family in families)
    for seed in SEEDS:
        yield from (CPU_ESPCN.quantized("none", w, w, 32, seed) for w in (4, 8))
        for p in (10, 12, 13):
            yield from (CPU_ESPCN.quantized(method, 4, 4, p, seed) for method in METHODS)
        yield CPU_RESNET18.quantized("none", 4, 4, 32, seed)
        for p in (12, 10, 16):
            yield from (CPU_RESNET18.quantized(method, 4, 4, p, seed) for method in METHODS)
        for family in families:
            yield from (family.quantized(method, 8, 8, 16, seed) for method in METHODS)


def _grid() -> Iterator[Cell]:
    """(M, N, P): M and N from 3 to 8, P from 16 down, of the two networks of the papers' accuracy figures."""
    for p in (16, 14, 12, 11, 13, 15):
        for m in range(3, 9):
            for n in range(3, 9):
                for family in (RESNET18, MOBILENET):
                    yield from (family.quantized(method, m, n, p, 0, "e") for method in METHODS)


def _once(cells: Iterator[Cell]) -> tuple[Cell, ...]:
    """Cells that are in two tables belong to the first one."""
    found: dict[str, Cell] = {}
    for cell in cells:
        found.setdefault(cell.name, cell)
    return tuple(found.values())


CELLS = _once(_cells())
