"""Read a Hugging Face `config.json` into an `Architecture`; the families known are data, in `data/families.toml`."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec

from chipmeter.workloads.architecture import Architecture
from chipmeter.workloads.matrices import matrices

LARGEST_FILE = 4 * 2**20
"""Bytes of a `config.json` beyond which it is not read; real ones have a few thousand."""

LARGEST_MODEL = 2**50
"""Parameters beyond which a configuration is taken for an error."""

LIMITS: dict[str, int] = {
    "layers": 2**12,
    "windowed_from": 2**12,
    "first_dense": 2**12,
    "sparse_step": 2**12,
    "full_attention_every": 2**12,
    "heads": 2**14,
    "kv_heads": 2**14,
    "experts": 2**14,
    "active_experts": 2**14,
    "shared_experts": 2**8,
    "vocab": 2**26,
    "positions": 2**30,
    "window": 2**30,
}
"""Largest value of a field; 2**22 for those not named."""

NEEDED = ("hidden", "layers", "heads", "vocab")
MAY_BE_ZERO = ("token_types", "first_dense", "shared_experts", "shared_ffn", "windowed_from", "q_rank", "sparse_offset")


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of `data/families.toml`; the head of that file explains the fields."""

    extends: str | None = None
    kind: Literal["decoder", "encoder", "encoder-decoder"] | None = None
    fields: dict[str, str] = {}
    defaults: dict[str, int | bool | str] = {}
    fixed: dict[str, int | bool | str] = {}
    required: tuple[str, ...] = ()
    bias: tuple[str, ...] | None = None
    bias_if: dict[str, tuple[str, ...]] | None = None
    window_switch: str | None = None
    same: dict[str, str] = {}
    encoder: str | None = None
    switch: dict[str, dict[str, str]] = {}
    inside: str | None = None
    weights: dict[str, str] = {}


@functools.cache
def families() -> dict[str, Family]:
    """Return the model families known, by `model_type`, each with what it inherits filled in."""
    text = resources.files("chipmeter.workloads").joinpath("data/families.toml").read_bytes()
    written = msgspec.toml.decode(text, type=dict[str, Family])

    def whole(name: str) -> Family:
        own = written[name]
        if own.extends is None:
            return own
        base = whole(own.extends)
        return Family(
            kind=own.kind or base.kind,
            fields=base.fields | own.fields,
            defaults=base.defaults | own.defaults,
            fixed=base.fixed | own.fixed,
            required=own.required or base.required,
            bias=base.bias if own.bias is None else own.bias,
            bias_if=base.bias_if if own.bias_if is None else own.bias_if,
            window_switch=own.window_switch or base.window_switch,
            same=base.same | own.same,
            encoder=own.encoder or base.encoder,
            inside=own.inside,
            weights={role: pattern for role, pattern in (base.weights | own.weights).items() if pattern},
        )

    return {name: whole(name) for name in written}


def read_config(source: str | os.PathLike[str] | Mapping[str, Any], *, name: str | None = None) -> Architecture:
    """Derive the architecture of a model from its Hugging Face configuration.

    Parameters
    ----------
    source : path or mapping
        A ``config.json``, a folder that holds one, or the object already decoded.
    name : str, optional
        What to call the model; by default the folder's name or the model type.

    Raises
    ------
    ValueError
        If the file is too large or not a JSON object, the model type is not known, a field is missing or out of
        range, or the sizes contradict each other.

    Examples
    --------
    >>> config = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257,
    ...           "n_positions": 1024}
    >>> read_config(config).parameters
    124439808
    """
    if isinstance(source, Mapping):
        config, where = dict(source), name or "config"
    else:
        config, where = config_object(Path(source))
    model_type = config.get("model_type")
    known = families()
    if not isinstance(model_type, str) or model_type not in known or " " in model_type:
        raise ValueError(
            f"{where}: unknown model_type {_short(model_type)} (architectures {_short(config.get('architectures'))}); "
            f"accepted: {', '.join(sorted(family for family in known if ' ' not in family))}"
        )
    family = known[model_type]
    for field, other in family.switch.items():
        family = known[other.get(str(config.get(field)), model_type)]
    if family.inside is not None:
        inner = config.get(family.inside)
        if not isinstance(inner, dict):
            raise ValueError(
                f"{where}: {family.inside} must be an object that describes the model, got {_short(inner)}"
            )
        config = {**inner, "model_type": model_type}
    return _architecture(config, family, model_type, name or _title(where, model_type), where)


def config_text(path: Path) -> bytes:
    """Read a config.json, refusing one of more than `LARGEST_FILE` bytes."""
    with path.open("rb") as file:
        text = file.read(LARGEST_FILE + 1)
    if len(text) > LARGEST_FILE:
        raise ValueError(f"{path}: larger than {LARGEST_FILE} bytes, which no config.json is")
    return text


def config_object(path: Path) -> tuple[dict[str, Any], str]:
    """Read a config.json, or that of a folder, as an object, and say where it lies."""
    if path.is_dir():
        path = path / "config.json"
    text = config_text(path)
    try:
        decoded = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a JSON object: {error}") from None
    return decoded, str(path)


def _title(where: str, model_type: str) -> str:
    folder = Path(where).parent.name
    return folder if Path(where).name == "config.json" and folder else model_type


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


class _Values:
    """The fields of one configuration under our names, checked one by one as they are asked for."""

    def __init__(self, config: dict[str, Any], family: Family, where: str) -> None:
        self.config, self.family, self.where = config, family, where

    def fail(self, field: str, problem: str) -> ValueError:
        return ValueError(f"{self.where}: {self.family.fields.get(field, field)} {problem}")

    def integer(self, field: str, default: int | None = None) -> int:
        """Read a field as an integer within its limits; `default` when neither the file nor the family gives one."""
        if field in self.family.fixed and field not in self.family.fields:
            return int(self.family.fixed[field])
        value = self.config.get(self.family.fields.get(field, ""))
        if value is None:
            value = self.family.defaults.get(field)
            if isinstance(value, str):
                factor, _, other = value.rpartition("x ")
                if factor or other.startswith("="):
                    value = int(factor or 1) * self.integer(other.removeprefix("="))
                else:
                    value = self.config.get(other)
        if value is None:
            if default is None or field in self.family.required:
                raise self.fail(field, f"is missing; a {self.config['model_type']} configuration needs it")
            return default
        least, most = 0 if field in MAY_BE_ZERO else 1, LIMITS.get(field, 2**22)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.fail(field, f"must be an integer from {least} to {most}, got {_short(value)}")
        if not least <= value <= most:
            raise self.fail(field, f"must lie from {least} to {most}, got {_short(value)}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.config.get(key)
        if value is None:
            return default
        if value is not True and value is not False:
            raise ValueError(f"{self.where}: {key} must be true or false, got {_short(value)}")
        return bool(value)

    def layer_list(self, field: str, layers: int) -> set[int]:
        value = self.config.get(self.family.fields.get(field, ""), [])
        if value is None:
            value = []
        if not isinstance(value, list) or any(
            isinstance(item, bool) or not isinstance(item, int) or not 0 <= item < layers for item in value
        ):
            raise self.fail(field, f"must be a list of layers from 0 to {layers - 1}, got {_short(value)}")
        return set(value)


def _architecture(config: dict[str, Any], family: Family, model_type: str, name: str, where: str) -> Architecture:
    values = _Values(config, family, where)
    fixed = family.fixed
    hidden, layers, heads, vocab = (values.integer(field) for field in NEEDED)
    kv_heads = values.integer("kv_heads")
    if heads % kv_heads:
        raise values.fail("kv_heads", f"must divide the {heads} heads, got {kv_heads}")
    kv_rank, q_rank = values.integer("kv_rank", 0), values.integer("q_rank", 0)
    nope_dim, rope_dim = values.integer("nope_dim", 0), values.integer("rope_dim", 0)
    if kv_rank:
        head_dim, value_dim = nope_dim + rope_dim, values.integer("value_dim")
    else:
        head_dim = value_dim = values.integer("head_dim", 0)
        if not head_dim:
            if hidden % heads:
                raise values.fail("hidden", f"must be a multiple of the {heads} heads, got {hidden}")
            head_dim = value_dim = hidden // heads

    experts = values.integer("experts", 0)
    active = values.integer("active_experts", 0)
    if active > experts:
        raise values.fail("active_experts", f"cannot exceed the {experts} experts, got {active}")
    moe_layers: tuple[int, ...] = ()
    if experts:
        step, offset = values.integer("sparse_step", 1), int(fixed.get("sparse_offset", 0))
        first, dense = values.integer("first_dense", 0), values.layer_list("dense_layers", layers)
        moe_layers = tuple(i for i in range(first, layers) if (i + offset) % step == 0 and i not in dense)
    expert_ffn = values.integer("expert_ffn") if experts else 0
    shared_ffn = values.integer("shared_ffn", 0) or values.integer("shared_experts", 0) * expert_ffn
    has_dense = "down" in family.weights and len(moe_layers) < layers

    window = values.integer("window", 0) or None
    if family.window_switch and not values.flag(family.window_switch, False):
        window = None
    every, windowed_from = values.integer("full_attention_every", 0), values.integer("windowed_from", 0)
    windowed = tuple(i for i in range(windowed_from, layers) if not every or (i + 1) % every) if window else ()
    kinds = config.get("layer_types")
    if window and kinds is not None:
        if not isinstance(kinds, list) or len(kinds) != layers:
            raise ValueError(
                f"{where}: layer_types must name the kind of each of the {layers} layers, got {_short(kinds)}"
            )
        windowed = tuple(i for i, kind in enumerate(kinds) if kind == "sliding_attention")
    for field, ours in family.same.items():
        if config.get(field) is not None and config[field] != values.integer(ours):
            raise ValueError(
                f"{where}: {field} is {_short(config[field])} where {family.fields[ours]} is {values.integer(ours)}; "
                "only models in which they are equal are known"
            )
    encoder = None if family.encoder is None else families()[family.encoder]
    patch = values.integer("patch", 0)
    positions = values.integer("positions", 0)
    if patch:
        image = values.integer("image")
        if image < patch:
            raise values.fail("image", f"must be at least a patch of {patch} pixels, got {image}")
        positions = (image // patch) ** 2 + int(fixed.get("token_types", 0))

    bias = set(family.bias or ())
    for switch, roles in (family.bias_if or {}).items():
        bias |= set(roles) if values.flag(switch, False) else set()
    tied = values.flag(family.fields.get("tied", ""), bool(family.defaults.get("tied", False)))

    sizes = Architecture(
        name=name,
        model_type=model_type,
        kind=family.kind or "decoder",
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        value_dim=value_dim,
        ffn=values.integer("ffn") if has_dense else 0,
        vocab=vocab,
        gated=bool(fixed["gated"]),
        norm="rms" if fixed["norm"] == "rms" else "layer",
        norms_per_layer=int(fixed["norms_per_layer"]),
        qk_norm=bool(fixed.get("qk_norm", False)),
        sinks=bool(fixed.get("sinks", False)),
        tied=tied,
        positions=positions,
        position_offset=int(fixed.get("position_offset", 0)),
        norms_outside=int(fixed.get("norms_outside", 1)),
        relative=values.integer("relative", 0),
        patch=patch,
        channels=values.integer("channels") if patch else values.integer("bands", 0),
        encoder=None if encoder is None else _architecture(config, encoder, model_type, f"{name} encoder", where),
        token_types=values.integer("token_types", 0),
        window=window,
        windowed_layers=windowed,
        experts=experts,
        active_experts=active,
        expert_ffn=expert_ffn,
        shared_ffn=shared_ffn,
        moe_layers=moe_layers,
        q_rank=q_rank,
        kv_rank=kv_rank,
        nope_dim=nope_dim,
        rope_dim=rope_dim,
    )
    transposed = bool(fixed.get("transposed", False))
    weights = tuple(matrices(sizes, family.weights, bias, transposed))
    whole = msgspec.structs.replace(sizes, weights=weights)
    if whole.parameters > LARGEST_MODEL:
        raise ValueError(f"{where}: {whole.parameters:.3g} parameters; at most {LARGEST_MODEL:.3g} are accepted")
    return whole
