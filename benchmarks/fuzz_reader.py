"""Feed damaged and hostile ONNX files to the package: each must be handled, or refused with a named error.

    python benchmarks/fuzz_reader.py --inputs 200000 --seed 1 --out benchmarks/results/fuzz_reader.json

With ``--portions FILE`` each thousand inputs, which have a seed of their own, is a line of that file once it is done,
and a run goes on behind the last line.

Inputs are mutations of small valid networks: of their bytes (flips, cuts, repeats, splices) and of their structure
(attributes, shapes, edges, operators, tensors, external data). Each file is read; what could be read is certified, with
its certificate written and read again, and turned into a dataflow graph; every sixteenth of these graphs is estimated.
Reported are, per step, how many files went through it and how many were refused, the slowest input, and the memory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper
from tqdm import tqdm

from brevitas_a2q._ir.layers import dot_product_layers
from brevitas_a2q._ir.reader import read_network
from brevitas_a2q.errors import A2QError
from brevitas_a2q.hw import estimate
from brevitas_a2q.hw._frontend import build_graph
from brevitas_a2q.verify._certificate import Certificate, certify_layers
from brevitas_a2q.verify._document import certificate_json

sys.path.insert(0, str(Path(__file__).parent.parent))

QONNX = "qonnx.custom_op.general"
_PORTION = 1000  # inputs that share a seed
_ESTIMATED = 16  # of so many dataflow graphs one is estimated
HOSTILE_INTEGERS = (0, 1, -1, 2, 3, 7, 1 << 16, 1 << 31, (1 << 63) - 1, -(1 << 63))
HOSTILE_FLOATS = (0.0, -0.0, -1.0, 1e-45, 1e38, float("inf"), float("-inf"), float("nan"), 0.5)
OPERATORS = (
    *("Quant", "BipolarQuant", "Trunc", "MultiThreshold", "Conv", "ConvTranspose", "MatMul", "Gemm", "Add", "Mul"),
    *("Div", "Sub", "Relu", "Clip", "PRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Flatten"),
    *("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Concat", "Pad", "Resize", "DepthToSpace", "TopK", "ArgMax"),
    *("Softmax", "Cast", "Gather", "Slice", "Shape", "Constant", "If", "Loop", "NotAnOperator"),
    *(
        "Dropout",
        "Where",
        "Max",
        "Pow",
        "Split",
        "Tile",
        "Expand",
        "SpaceToDepth",
        "Upsample",
        "ReduceMax",
        "Abs",
        "Elu",
    ),
    *("LayerNormalization", "Einsum", "LSTM", "TopK", "NonZero", "ConstantOfShape", "MaxPool", "GlobalMaxPool"),
)


@dataclass
class Report:
    """What a run found; sizes in mebibytes, times in seconds."""

    inputs: int = 0
    read: int = 0
    certified: int = 0
    built: int = 0
    estimated: int = 0
    refused: dict[str, int] = field(default_factory=dict)  # by the step that refused
    slowest_seconds: float = 0.0
    peak_memory_mib: float = 0.0
    failures: list[str] = field(default_factory=list)


def quantizer(name: str, source: str, scale: float, bits: int, signed: int) -> tuple[Any, list[Any]]:
    values = (("s", scale), ("z", 0.0), ("b", float(bits)))
    constants = [numpy_helper.from_array(np.float32(v), f"{name}.{k}") for k, v in values]
    attributes = {"signed": signed, "narrow": 0, "rounding_mode": "ROUND"}
    node = helper.make_node(
        "Quant", [source, *(c.name for c in constants)], [name], f"n.{name}", domain=QONNX, **attributes
    )
    return node, constants


def seed_network() -> bytes:
    """A small network with most of what the reader knows: 2x6x6 in, 3 labels out."""
    rng = np.random.default_rng(0)
    nodes: list[Any] = []
    constants: list[Any] = []

    def put(op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [output], f"n.{output}", **attributes))
        return output

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def quant(name: str, source: str, scale: float = 0.25, bits: int = 4, signed: int = 0) -> str:
        node, values = quantizer(name, source, scale, bits, signed)
        nodes.append(node)
        constants.extend(values)
        return name

    def weights(name: str, *shape: int) -> str:
        constant(f"{name}.float", rng.standard_normal(shape).astype(np.float32))
        return quant(name, f"{name}.float", 0.5, 4, 1)

    def vector(name: str, size: int) -> str:
        return constant(name, rng.uniform(0.5, 1.5, size).astype(np.float32))

    x = quant("x.q", "x", 0.1, 8, 1)
    bias = vector("c1.bias", 4)
    c1 = put(
        "Conv", [x, weights("c1.w", 4, 2, 3, 3), bias], "c1", pads=[1, 1, 1, 1], strides=[1, 1], kernel_shape=[3, 3]
    )
    norm = put("BatchNormalization", [c1, *(vector(f"bn.{p}", 4) for p in "gbmv")], "bn", epsilon=1e-5)
    a1 = quant("a1", put("Relu", [norm], "r1"))
    depthwise = put("Conv", [a1, weights("c2.w", 4, 1, 3, 3)], "c2", group=4, pads=[1, 1, 1, 1])
    a2 = quant("a2", put("Mul", [depthwise, constant("two", np.float32(2))], "m2"))
    total = put("Add", [a1, a2], "sum")
    a3 = quant("a3", total, 0.5)
    pooled = put("MaxPool", [a3], "pool", kernel_shape=[2, 2], strides=[2, 2])
    up = put("ConvTranspose", [pooled, weights("up.w", 4, 4, 2, 2)], "up", strides=[2, 2])
    a4 = quant("a4", up, 0.5, 4, 1)
    both = put("Concat", [a4, quant("a5", a3, 0.5, 4, 1)], "cat", axis=1)
    mean = put("GlobalAveragePool", [both], "mean")
    flat = put("Reshape", [quant("a6", mean, 0.1), constant("shape", np.int64([1, -1]))], "flat")
    transposed = put("Transpose", [weights("fc.w", 3, 8)], "fc.wt", perm=[1, 0])
    put("MatMul", [flat, transposed], "y")
    graph = helper.make_graph(
        nodes,
        "seed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid(QONNX, 2)])
    return bytes(model.SerializeToString())


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A mutation of the bytes."""
    raw = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at, size = rng.randrange(len(raw)), rng.choice((1, 2, 8, 64))
        match rng.randrange(5):
            case 0:
                raw[at] ^= 1 << rng.randrange(8)
            case 1:
                raw[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del raw[at : at + size]
            case 3:
                raw[at:at] = raw[at : at + size]
            case _:
                raw[at:at] = rng.randbytes(size)
        if not raw:
            return b""
    return bytes(raw[: rng.randrange(len(raw))] if rng.random() < 0.1 else raw)


def restructured(data: bytes, rng: random.Random) -> bytes:
    """A mutation of the graph."""
    model = onnx.ModelProto.FromString(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(STRUCTURAL)(model.graph, rng)
    return bytes(model.SerializeToString())


def change_attribute(graph: Any, rng: random.Random) -> None:
    node = rng.choice(graph.node)
    if not node.attribute or rng.random() < 0.2:
        name = rng.choice(("axis", "group", "kernel_shape", "pads", "strides", "perm", "blocksize", "auto_pad", "axes"))
        value = rng.choice(
            (rng.choice(HOSTILE_INTEGERS), [rng.choice(HOSTILE_INTEGERS)] * rng.randrange(1, 5), "SAME_UPPER")
        )
        node.attribute.append(helper.make_attribute(name, value))
        return
    attribute = rng.choice(node.attribute)
    attribute.i = rng.choice(HOSTILE_INTEGERS)
    attribute.f = rng.choice(HOSTILE_FLOATS)
    attribute.s = rng.choice((b"", b"\xff\xfe", b"NOPE", b"FLOOR"))
    if attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(HOSTILE_INTEGERS)
    if rng.random() < 0.2:
        attribute.type = rng.randrange(0, 15)


def change_edge(graph: Any, rng: random.Random) -> None:
    node, other = rng.choice(graph.node), rng.choice(graph.node)
    names = [*other.output, *(t.name for t in graph.initializer), "x", "", "nowhere"]
    if node.input and rng.random() < 0.8:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif rng.random() < 0.5:
        node.output[0] = rng.choice(names)
    elif node.input:
        del node.input[rng.randrange(len(node.input))]


def change_operator(graph: Any, rng: random.Random) -> None:
    node = rng.choice(graph.node)
    node.op_type = rng.choice(OPERATORS)
    node.domain = rng.choice(("", QONNX, "ai.onnx", "onnx.brevitas", "evil.domain"))


def change_nodes(graph: Any, rng: random.Random) -> None:
    index = rng.randrange(len(graph.node))
    if rng.random() < 0.5 and len(graph.node) > 1:
        del graph.node[index]
    else:
        graph.node.append(graph.node[index])


def change_tensor(graph: Any, rng: random.Random) -> None:
    tensor = rng.choice(graph.initializer)
    match rng.randrange(5):
        case 0:
            del tensor.dims[:]
            tensor.dims.extend(rng.choice(HOSTILE_INTEGERS) for _ in range(rng.randrange(5)))
        case 1:
            values = np.full(int(np.prod(tensor.dims)), rng.choice(HOSTILE_FLOATS), np.float32)
            tensor.raw_data, tensor.data_type = values.tobytes(), TensorProto.FLOAT
        case 2:
            tensor.data_type = rng.randrange(0, 25)
        case 3:
            tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
        case _:
            tensor.data_location = TensorProto.EXTERNAL
            entry = tensor.external_data.add()
            entry.key = "location"
            entry.value = rng.choice(
                ("/etc/passwd", "../../etc/passwd", "/dev/zero", ".", "", "weights\0", "missing.bin")
            )


def change_value(graph: Any, rng: random.Random) -> None:
    tensor = rng.choice(graph.initializer)
    raw = np.frombuffer(tensor.raw_data, np.float32).copy()
    if raw.size and tensor.data_type == TensorProto.FLOAT:
        raw[rng.randrange(raw.size)] = rng.choice((*HOSTILE_FLOATS, 31.0, 33.0, 1e9))
        tensor.raw_data = raw.tobytes()


def change_input(graph: Any, rng: random.Random) -> None:
    value = rng.choice(graph.input).type.tensor_type
    if rng.random() < 0.2:
        value.elem_type = rng.randrange(0, 25)
    elif value.shape.dim:
        dim = rng.choice(value.shape.dim)
        if rng.random() < 0.5:
            dim.dim_param = "batch"
        else:
            dim.dim_value = rng.choice(HOSTILE_INTEGERS)


STRUCTURAL: tuple[Callable[[Any, random.Random], None], ...] = (
    change_attribute,
    change_attribute,
    change_edge,
    change_operator,
    change_nodes,
    change_tensor,
    change_value,
    change_value,
    change_input,
)


def generated(seed: int, count: int = 60) -> list[bytes]:
    """Files of the adversary's, which have operators and attributes of all kinds."""
    from benchmarks.adversary.files.generate import generate

    cases = [generate(number) for number in range(seed * count, (seed + 1) * count)]
    return [bytes(case.graph.model(case.outputs).SerializeToString()) for case in cases]


def fuzz(inputs: int, seed: int = 0) -> Report:
    """Try this many inputs; the report's ``failures`` hold tracebacks of anything but a named error."""
    report, rng, seeds = Report(), random.Random(seed), [seed_network(), *generated(seed)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input.onnx"
        while report.inputs < inputs:
            try:
                data = seeds[0] if rng.random() < 0.5 else rng.choice(seeds)
                mutated = damaged(data, rng) if rng.random() < 0.4 else restructured(data, rng)
            except (DecodeError, ValueError):  # what protobuf does not let be written
                continue
            path.unlink(missing_ok=True)  # a file that is written over is put on disk before it is closed
            path.write_bytes(mutated)
            attempt(path, report)
    report.peak_memory_mib = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    return report


def total(portions: list[Report]) -> Report:
    """One report of several: counts add up, of times and memory the largest stays."""
    whole = Report()
    for part in portions:
        for name in ("inputs", "read", "certified", "built", "estimated"):
            setattr(whole, name, getattr(whole, name) + getattr(part, name))
        for step, count in part.refused.items():
            whole.refused[step] = whole.refused.get(step, 0) + count
        whole.slowest_seconds = max(whole.slowest_seconds, part.slowest_seconds)
        whole.peak_memory_mib = max(whole.peak_memory_mib, part.peak_memory_mib)
        whole.failures += part.failures
    return whole


def run(inputs: int, seed: int, portions: Path | None) -> Report:
    """Portion after portion, those of the file of portions first."""
    lines = portions.read_text().splitlines(keepends=True) if portions and portions.exists() else []
    done = [Report(**json.loads(line)) for line in lines if line.endswith("\n")]
    with tqdm(total=inputs, initial=sum(r.inputs for r in done), unit="file", disable=inputs < 5000) as bar:
        while (left := inputs - sum(report.inputs for report in done)) > 0:
            report = fuzz(min(left, _PORTION), seed * 1_000_000 + len(done))
            done.append(report)
            if portions:
                portions.write_text("".join(json.dumps(asdict(report)) + "\n" for report in done))
            bar.update(report.inputs)
    return total(done)


def attempt(path: Path, report: Report) -> None:
    """Everything that is done with a file, one step after the other, and how each ends."""
    report.inputs += 1
    start = time.process_time()
    network = _step("read", lambda: read_network(path), path, report)
    if network is not None:
        report.read += 1
        report.certified += _step("certify", lambda: _certified(network), path, report) is not None
        graph = _step("build", lambda: build_graph(network), path, report)
        report.built += graph is not None
        if graph is not None and report.built % _ESTIMATED == 0:
            report.estimated += _step("estimate", lambda: estimate(path, target_fps=1000), path, report) is not None
    report.slowest_seconds = max(report.slowest_seconds, round(time.process_time() - start, 3))


def _certified(network: Any) -> Certificate:
    certificate = certify_layers(dot_product_layers(network), network.uncovered, network.assumptions)
    text = certificate_json(certificate)
    assert certificate_json(Certificate.from_json(text)) == text
    return certificate


def _step(name: str, work: Callable[[], Any], path: Path, report: Report) -> Any:
    try:
        return work()
    except A2QError as error:
        report.refused[name] = report.refused.get(name, 0) + 1
        if not error.where:
            report.failures.append(f"an error without a place: {error}")
    except Exception:
        report.failures.append(traceback.format_exc())
        found = path.read_bytes()
        kept = Path(tempfile.gettempdir()) / f"fuzz_reader_{hashlib.sha256(found).hexdigest()[:12]}.onnx"
        kept.write_bytes(found)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the report as JSON")
    parser.add_argument("--portions", type=Path, help="keep what is done here, and go on with it")
    arguments = parser.parse_args()
    report = run(arguments.inputs, arguments.seed, arguments.portions)
    text = json.dumps(asdict(report), indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    raise SystemExit(1 if report.failures else 0)


if __name__ == "__main__":
    main()
