"""The kinds of file that are edited, each with the commands that read it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import openvino as ov
import yaml

from tests.builders import if_model, linear_model, llama_model, loop_model
from tests.cli.command import ENCODER, LLAMA
from tests.fuzzing.edits import edit_bytes, edit_data, edit_xml
from tests.fuzzing.gguf_edits import edit_gguf
from tests.fuzzing.npz_edits import edit_npz
from tests.fuzzing.onnx_edits import edit_onnx
from tests.fuzzing.runner import run
from tests.reporting.made import everything, names, saved

ROOT = Path(__file__).parents[2]
Arguments = Sequence[object]


@dataclass(frozen=True)
class Kind:
    """One kind of file. `prepare` makes unedited files; `edit` writes an edited one into a folder and returns commands.

    In the arguments of a command OUT is where its output goes.
    """

    prepare: Callable[[Path], None]
    edit: Callable[[Path, Path, Random], Sequence[Arguments]]


OUT = object()
_EARLIER = ROOT / "tests/transformation/written_earlier"
"""Models as apply wrote them, in all ways."""
_APPLY: Sequence[Arguments] = (
    (),
    ("--group-size", 32),
    ("--lowering", "emulate"),
    ("--lowering", "emulate", "--group-size", 32, "--asymmetric", "--threshold", 4),
    ("--lowering", "int8"),
    ("--lowering", "int8", "--requantize"),
    ("--exempt", "re:.*", "--exempt-with", "rank-4"),
    ("--exempt", "re:.*"),
)


def _models(folder: Path) -> None:
    models = {
        "linear": linear_model("w_i4_sym_g32", 64, 16),
        "asymmetric": linear_model("w_u8_asym_ch", 64, 16),
        "if": if_model(),
        "loop": loop_model(),
        "llama": llama_model(blocks=1, hidden=32, heads=2, kv_heads=1, ffn=64, vocab=32),
    }
    for name, model in models.items():
        ov.save_model(model, folder / f"{name}.xml", compress_to_fp16=False)
    shutil.copytree(_EARLIER, folder / "earlier")


def _ir(source: Path, folder: Path, rng: Random) -> Sequence[Arguments]:
    earlier = rng.random() < 0.3
    original = rng.choice(sorted((source / "earlier" if earlier else source).glob("*.xml")))
    xml = folder / "model.xml"
    xml.write_text(edit_xml(original.read_text(encoding="utf-8"), rng), encoding="utf-8")
    shutil.copy(original.with_suffix(".bin"), xml.with_suffix(".bin"))
    change: Arguments = ("strip", xml, "-o", OUT)
    if not earlier and rng.random() < 0.9:
        change = ("apply", xml, "-o", OUT, *rng.choice(_APPLY))
    return [("inspect", xml, "--json"), ("explain", xml), change]


def _plans(folder: Path) -> None:
    shutil.copytree(LLAMA, folder / "model")
    run(["plan", folder / "model", "--group-size", "128", "--exempt", "layer:1", "-o", folder / "plan.yaml"])


def _plan(source: Path, folder: Path, rng: Random) -> Sequence[Arguments]:
    text = (source / "plan.yaml").read_text(encoding="utf-8")
    edited = folder / "plan.yaml"
    if rng.random() < 0.3:
        edited.write_bytes(edit_bytes(text.encode(), rng))
    else:
        edited.write_text(yaml.safe_dump(edit_data(yaml.safe_load(text), rng)), encoding="utf-8")
    return [("apply", source / "model", "-o", OUT, "--plan", edited)]


_SETTINGS = {
    "group_size": 64, "threshold": 64, "axis": -1, "symmetric": True, "lowering": "native", "target": "gpu-xmx",
    "exempt_with": "auto", "requantize": False, "runtime_options": {"KV_CACHE_PRECISION": "u8"},
    "rules": [{"match": "kind:mlp.down", "exempt": True}, {"match": "layer:0", "group_size": 32}],
}  # fmt: skip


def _settings(source: Path, folder: Path, rng: Random) -> Sequence[Arguments]:
    edited = folder / "settings.yaml"
    if rng.random() < 0.3:
        edited.write_bytes(edit_bytes(yaml.safe_dump(_SETTINGS).encode(), rng))
    else:
        edited.write_text(yaml.safe_dump(edit_data(_SETTINGS, rng)), encoding="utf-8")
    return [("plan", source / "model", "--config", edited, "--json", "-o", OUT)]


def _runs(folder: Path) -> None:
    saved(everything(names(4), exempt=names(1)), folder)


def _run(source: Path, folder: Path, rng: Random) -> Sequence[Arguments]:
    original = rng.choice(sorted(source.glob("*.json")))
    edited = folder / original.name
    text = original.read_text(encoding="utf-8")
    if rng.random() < 0.3:
        edited.write_bytes(edit_bytes(text.encode(), rng))
    else:
        edited.write_text(json.dumps(edit_data(json.loads(text), rng)), encoding="utf-8")
    other = rng.choice(sorted(source.glob("*.json")))
    return [rng.choice((("report", edited, "-o", OUT), ("report", other, "--against", edited, "-o", OUT)))]


def _nothing(folder: Path) -> None:
    """Files of the repository are edited."""


def _config(_: Path, folder: Path, rng: Random) -> Sequence[Arguments]:
    config = json.loads((LLAMA / "config.json").read_text(encoding="utf-8"))
    model = folder / "hugging-face"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(edit_data(config, rng)), encoding="utf-8")
    header = json.dumps(edit_data({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, rng)).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(4)
    (model / "model.safetensors").write_bytes(edit_bytes(content, rng) if rng.random() < 0.5 else content)
    return [("convert", model, "-o", OUT)]


def _gguf(_: Path, folder: Path, rng: Random) -> Sequence[Arguments]:
    content = (ROOT / "tests/conversion/tiny-q4_1.gguf").read_bytes()
    (folder / "model.gguf").write_bytes(edit_gguf(content, rng))
    return [("convert", folder / "model.gguf", "-o", OUT, *rng.choice(((), ("--exact",))))]


def _onnx(_: Path, folder: Path, rng: Random) -> Sequence[Arguments]:
    original = rng.choice(sorted((ROOT / "models/onnx").glob("*.onnx")))
    (folder / "model.onnx").write_bytes(edit_onnx(original.read_bytes(), rng))
    return [("convert", folder / "model.onnx", "-o", OUT)]


_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def _inputs(_: Path, folder: Path, rng: Random) -> Sequence[Arguments]:
    path = folder / "inputs.npz"
    shape = (1, rng.randint(0, 3))
    np.savez(path, **{name: np.ones(shape, np.int64) for name in _INPUTS})  # type: ignore[arg-type]
    path.write_bytes(edit_npz(path.read_bytes(), rng))
    bench = ("bench", ENCODER, "--inputs", path, "--repeats", 1)
    return [rng.choice((bench, ("evaluate", ENCODER, ENCODER, "--inputs", path)))]


def _log(_: Path, folder: Path, rng: Random) -> Sequence[Arguments]:
    original = rng.choice(sorted((ROOT / "tests/verification/intercept_logs").glob("*.txt")))
    edited = folder / original.name
    edited.write_bytes(edit_bytes(original.read_bytes(), rng))
    return [("verify", "--intercept-log", edited, "--json")]


KINDS: Mapping[str, Kind] = {
    "ir": Kind(_models, _ir),
    "plan": Kind(_plans, _plan),
    "settings": Kind(_plans, _settings),
    "run": Kind(_runs, _run),
    "config": Kind(_nothing, _config),
    "gguf": Kind(_nothing, _gguf),
    "onnx": Kind(_nothing, _onnx),
    "npz": Kind(_nothing, _inputs),
    "log": Kind(_nothing, _log),
}
QUICK = ("ir", "plan", "settings", "run", "config")
"""Kinds whose cases take milliseconds."""
