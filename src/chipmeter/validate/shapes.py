"""Shapes of the models that tables name: from model_shapes.csv, the presets, the row's notes, or the name's size."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from chipmeter._names import UnknownNameError
from chipmeter.cost.shape import Shape, normal
from chipmeter.validate.tables import Row, read_table
from chipmeter.workloads import preset

Shapes = dict[str, Shape]

PLAIN = re.compile(r"gpt-?\d|gpt3|mpt|maxtext-(22|52)b|nemotron-?4|nemotron-h|nemotron.?3|bert|vit|clip|codegen|opt-")
"""Models without a gate in their feed-forward part; gpt-oss is not one of them."""

BERT = Shape(
    name="bert-large", layers=24, hidden=1024, ffn=4096, heads=16, kv_heads=16, head_dim=64, vocab=30522, gated=False
)
VIT = Shape(
    name="vit-base", layers=12, hidden=768, ffn=3072, heads=12, kv_heads=12, head_dim=64, vocab=1000, gated=False
)

EXTRA: dict[str, tuple[int, int, int, int, int, int]] = {
    "llama2-7b": (32, 4096, 11008, 32, 32, 32000),
    "llama2-13b": (40, 5120, 13824, 40, 40, 32000),
    "codellama13b": (40, 5120, 13824, 40, 40, 32016),
    "llama2-70b": (80, 8192, 28672, 64, 8, 32000),
    "gemma3-12b": (48, 3840, 15360, 16, 8, 262144),
    "gpt22b": (48, 6144, 24576, 64, 64, 51200),
    "gpt175b": (96, 12288, 49152, 96, 96, 51200),
    "gpt530b": (105, 20480, 81920, 128, 128, 51200),
    "gpt1t": (128, 25600, 102400, 160, 160, 51200),
    "gpt3-23b": (28, 8192, 32768, 64, 64, 50257),
    "gpt3-46b": (56, 8192, 32768, 64, 64, 50257),
    "gpt-neox-20b": (44, 6144, 24576, 64, 64, 50432),
    "codegen25-7b": (32, 4096, 11008, 32, 32, 51200),
}
"""Layers, hidden, ffn, heads, key-value heads, vocabulary of models that the shape table leaves out (model cards)."""

WINDOWS: tuple[tuple[str, int, float], ...] = (
    ("gpt-oss", 128, 1 / 2),  # sliding windows in every other layer
    (
        "qwen3.5|qwen3.6|qwen3-next",
        128,
        3 / 4,
    ),  # three layers in four keep a state of heads x 128 x 128 (linear attention)
    (r"glm-5|deepseek-v3\.2", 2048, 1.0),  # sparse attention: each token reads the 2,048 keys that an index selects
    ("gemma-?3|gemma-?4", 1024, 5 / 6),  # five layers in six
    ("llama-?4", 8192, 3 / 4),  # chunks in three layers of four
)
"""Pattern of the name, tokens that windowed layers read, share of such layers: the models' config.json files."""


def read_shapes(folder: Path) -> Shapes:
    """Read ``model_shapes.csv`` in a folder or beside it; empty if there is none.

    Raises
    ------
    ValueError
        If the file is broken.
    """
    for path in (folder / "model_shapes.csv", folder.resolve().parent / "model_shapes.csv"):
        if path.is_file():
            table = read_table(path)
            table.need("model", "layers", "hidden", "heads")
            return {normal(row.get("model") or ""): _shape(row) for row in table.rows}
    return {}


def _number(row: Mapping[str, str], key: str) -> int:
    text = (row.get(key) or "").strip()
    return int(float(text)) if re.fullmatch(r"\d+(\.\d*)?", text) else 0


def _shape(row: Row) -> Shape:
    name = normal(row.get("model") or "")
    hidden, heads, layers = (_number(row, key) or 1 for key in ("hidden", "heads", "layers"))
    latent, experts = _number(row, "kv_lora_rank"), _number(row, "experts")
    ffn = _number(row, "ffn") or 4 * hidden
    moe_ffn = _number(row, "moe_ffn") or ffn
    shared = _number(row, "shared_experts") * moe_ffn
    moe_layers = layers if experts else 0
    if latent and experts:
        moe_layers = layers - 3
    if "maverick" in name:
        moe_layers, shared, ffn = layers // 2, moe_ffn, 2 * moe_ffn
    elif "scout" in name:
        shared = moe_ffn
    if layers == 1 and "ultra" in name:
        layers = moe_layers = 96
    return Shape(
        name=name,
        layers=layers,
        hidden=hidden,
        ffn=ffn,
        heads=heads,
        kv_heads=_number(row, "kv_heads") or heads,
        head_dim=128 if latent else _number(row, "head_dim") or hidden // heads,
        vocab=_number(row, "vocab") or 32000,
        experts=experts,
        active=_number(row, "topk") or (8 if experts else 0),
        moe_ffn=moe_ffn if experts else 0,
        moe_layers=moe_layers,
        shared=shared,
        gated=not PLAIN.search(name),
        latent=latent,
        query_rank=_number(row, "q_lora_rank") if latent else 0,
        rope=64 if latent else 0,
        tied=(row.get("tied") or "").lower() == "true",
    )


def _windowed(shape: Shape, name: str) -> Shape:
    """Add the windows of a model's attention, which the table of shapes leaves out."""
    for pattern, window, share in WINDOWS:
        if re.search(pattern, name):
            return msgspec.structs.replace(shape, window=window, windowed_layers=round(shape.layers * share))
    return shape


def find_shape(name: str, notes: str, shapes: Shapes) -> Shape:
    """Find the shape of a model that a row names.

    Sizes that the notes state (``layers=96 hidden=12288 heads=96 vocab=51200``, ``emb=``, ``mlp=``) win; then the
    table of shapes, the presets, a few model cards, and last a shape of the size in the name.
    """
    key = normal(name)
    stated = {word: int(value) for word, value in re.findall(r"\b(layers|hidden|emb|heads|vocab|mlp)=(\d+)", notes)}
    hidden = stated.get("hidden") or stated.get("emb")
    if hidden and "layers" in stated:
        heads = stated.get("heads", hidden // 128)
        dim = re.search(r"head_dim (\d+)", notes)
        return Shape(
            name=key, layers=stated["layers"], hidden=hidden, ffn=stated.get("mlp", 4 * hidden), heads=heads,
            kv_heads=heads, head_dim=int(dim.group(1)) if dim else hidden // heads, vocab=stated.get("vocab", 32000),
            gated=False,
        )  # fmt: skip
    found = _sized(_by_name(name.lower() if name.lower().startswith("hugging") else key, shapes))
    return found if found.windowed_layers else _windowed(found, name.lower())


def _sized(shape: Shape) -> Shape:
    """Count fewer layers where the name states fewer parameters than the layers given would have.

    Hybrids of state-space, attention and expert layers list all their layers as one number: fewer of them have experts.
    """
    told = re.search(r"nemotron.*-(\d+)b\b", shape.name)
    if told and not shape.experts:
        # Layers of hybrids are lighter than a whole transformer layer; few of them have attention.
        ratio = 1e9 * float(told.group(1)) / shape.parameters
        return msgspec.structs.replace(shape, layers=round(shape.layers * ratio)) if ratio < 0.8 else shape
    stated = re.search(r"(\d+)b-a\d+b", shape.name)
    whole = shape.experts * shape.expert_weights
    if not stated or not whole or shape.parameters < 1.3e9 * int(stated.group(1)):
        return shape
    sparse = msgspec.structs.replace(shape, moe_layers=0, ffn=0, layers=shape.layers)
    fit = round((1e9 * int(stated.group(1)) - sparse.parameters) / whole)
    return msgspec.structs.replace(shape, moe_layers=min(max(fit, 1), shape.layers), ffn=0)


def _by_name(key: str, shapes: Shapes) -> Shape:
    if "bert" in key or "roberta" in key:
        return BERT
    if "whisper" in key:
        return by_size("whisper-1.5b")
    if "stable" in key:
        return by_size(f"{key}-860m")
    if "flux" in key:
        return by_size(f"{key}-12b")
    if "perceiver" in key or "perveriver" in key:
        return by_size("perceiver-200m")
    if "vit" in key or "clip" in key or "vision" in key:
        return VIT
    for other in (key, key.replace("llama3-", "llama3.1-"), key.replace("llama3.3-", "llama3.1-")):
        if other in shapes:
            return shapes[other]
    if key in EXTRA:
        layers, hidden, ffn, heads, kv_heads, vocab = EXTRA[key]
        return Shape(
            name=key, layers=layers, hidden=hidden, ffn=ffn, heads=heads, kv_heads=kv_heads,
            head_dim=256 if "gemma" in key else hidden // heads, vocab=vocab, gated=not PLAIN.search(key),
        )  # fmt: skip
    near = [known for known in shapes if key.startswith(known) or known.startswith(key)]
    if near and len(key) > 3:
        return shapes[max(near, key=len)]
    for guess in (key, re.sub(r"^([a-z]+)(\d)", r"\1-\2", key), re.sub(r"^llama3(\.\d)?-", "llama-3.1-", key)):
        try:
            return Shape.of(preset(guess))
        except UnknownNameError:
            continue
    return by_size(key)


def by_size(key: str) -> Shape:
    """Make up a dense shape with the parameters that a name states; 7 billion where it states none.

    >>> 12e9 < by_size("novel-13b").parameters < 15e9
    True
    """
    size = re.search(r"(\d+(?:\.\d+)?)\s*([bmt])\b", key)
    scale = {"m": 1e6, "b": 1e9, "t": 1e12}
    count = float(size.group(1)) * scale[size.group(2)] if size else 7e9
    layers = max(4, round((count / 12 / 128**2) ** (1 / 3)))
    hidden = max(128, round((count / 12 / layers) ** 0.5 / 128) * 128)
    heads = max(1, hidden // 128)
    return Shape(
        name=key, layers=layers, hidden=hidden, ffn=round(8 * hidden / 3), heads=heads, kv_heads=heads,
        head_dim=hidden // heads, vocab=32000,
    )  # fmt: skip
