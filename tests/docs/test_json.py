"""docs/reference/json.md has the keys that commands print, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from ovpass.cli.main import cli
from tests.cli.command import ENCODER, LLAMA, MODELS, CommandLine
from tests.compression.conftest import float_llama
from tests.docs.json_keys import EVERY, REFERENCE, Key, documented, stands_for
from tests.documents import ROOT

GGUF = ROOT / "tests/conversion/tiny-q4_1.gguf"
GRAPH = ROOT / "tests/verification/execution_graphs/arc-b580-encoder.xml"
LOG = Path(__file__).resolve().parents[1] / "verification" / "intercept_logs" / "device_timing_200_tokens.txt"
WINDOWS = ("--windows", "2", "--window-tokens", "48")

Calls = Callable[[Path], list[tuple[object, ...]]]

CALLS: dict[str, Calls] = {
    "inspect": lambda _: [(LLAMA,)],
    "plan": lambda _: [
        (LLAMA, "--threshold", "32"),
        (LLAMA, "--target", "cpu"),
        (LLAMA, "--lowering", "emulate", "--asymmetric"),
        (LLAMA, "--runtime-option", "KV_CACHE_PRECISION=u8"),
    ],
    "apply": lambda place: [
        (LLAMA, "-o", place / "a", "--exempt", "kind:lm_head", "--threshold", "32"),
        (LLAMA, "-o", place / "b", "--target", "cpu"),
    ],
    "layout": lambda place: [(LLAMA, "-o", place / "served", "--device", "CPU")],
    "convert": lambda place: [
        (MODELS / "onnx" / "dynamic_fused.onnx", "-o", place / "converted"),
        (GGUF, "-o", place / "requantized", "--requantize", "i8:32"),
    ],
    "run": lambda _: [(LLAMA, "a prompt", "--max-new-tokens", "3")],
    "explain": lambda _: [(LLAMA,)],
    "devices": lambda _: [()],
    "doctor": lambda _: [()],
    "evaluate": lambda _: [(LLAMA, f"{LLAMA}@64,threshold=0", *WINDOWS)],
    "sensitivity": lambda place: [
        (LLAMA, *WINDOWS, "--state", place, "--by", by, "--exempt", "layer:1") for by in ("site", "kind")
    ],
    "bisect": lambda place: [
        (LLAMA, *WINDOWS, "--state", place, "--by", "kind", "--max-kl", "0.0003", "--exempt", "layer:1"),
    ],
    "tune": lambda place: [
        (LLAMA, *WINDOWS, "--state", place, "--max-kl", "0.0003"),
        (LLAMA, *WINDOWS, "--state", place, "--max-kl", "0.0003", "--target", "cpu", "--kv", "u4,u8,mant4a"),
    ],
    "bench": lambda _: [
        (LLAMA, f"{LLAMA}@NUM_STREAMS=1", "--prompt-tokens", "8", "--repeats", "3", "--output-tokens", "2"),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("command", CALLS)
def test_keys(command: str, ovpass: CommandLine, tmp_path: Path) -> None:
    found = {key for call in CALLS[command](tmp_path) for key in filled(ovpass(command, *call, "--json").json)}
    compare(found, documented(command))


@pytest.mark.usefixtures("simulated_gpu")
def test_keys_of_verify(ovpass: CommandLine, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    ovpass.succeed("plan", ENCODER, "-o", plan, "--target", "cpu", "--exempt", "kind:mlp", "--quiet")
    cached = tmp_path / "cached.yaml"
    ovpass.succeed(
        "plan", LLAMA, "-o", cached, "--target", "cpu", "--runtime-option", "KV_CACHE_PRECISION=u8", "--quiet"
    )
    calls = [
        (LLAMA, "--device", "cpu", "--plan", cached),
        (ENCODER, "--simulate", "arc-a770", "--tokens", "65"),
        (ENCODER, "--device", "cpu", "--plan", plan),
        (ENCODER, "--intercept-log", LOG),
        ("--execution-graph", GRAPH),
    ]
    # What --simulate all adds is in tests/verification/test_verify_gpu.py: it asks every device.
    keys = {key: there for key, there in documented("verify").items() if key[0] != "devices"}
    compare({key for call in calls for key in filled(ovpass("verify", *call, "--json").json)}, keys)


def test_keys_of_strip(ovpass: CommandLine, tmp_path: Path) -> None:
    ovpass.succeed("apply", LLAMA, "-o", tmp_path / "changed", "--quiet")
    compare(
        set(filled(ovpass("strip", tmp_path / "changed", "-o", tmp_path / "out", "--json").json)), documented("strip")
    )


def test_keys_of_compress(ovpass: CommandLine, tmp_path: Path) -> None:
    found = set(filled(ovpass("compress", float_llama(tmp_path / "f"), "-o", tmp_path / "small", "--json").json))
    compare(found, documented("compress"))


def test_keys_of_expand(ovpass: CommandLine, tmp_path: Path) -> None:
    ovpass.succeed("compress", float_llama(tmp_path / "f"), "-o", tmp_path / "m", "--mode", "mant4", "--group-size", 32)
    found = ovpass.succeed("expand", tmp_path / "m", "-o", tmp_path / "e", "--json").json
    compare(set(filled(found)), documented("expand"))


def test_every_command_has_a_section() -> None:
    context = click.Context(cli)
    commands = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    printing = {name for name, of in commands.items() if of is not None and "as_json" in {p.name for p in of.params}}
    assert REFERENCE.keys() - {EVERY} == printing
    assert printing - CALLS.keys() == {"compress", "expand", "optimize", "strip", "verify"}


def filled(data: Any, above: Key = ()) -> Iterator[tuple[Key, bool]]:
    """The path of each value, and whether there is one, not null or nothing; a list of no objects is a value."""
    if isinstance(data, dict) and data:
        for name, value in data.items():
            yield from filled(value, (*above, name))
    elif isinstance(data, list) and data and isinstance(data[0], dict):
        for value in data:
            yield from filled(value, (*above, "[]"))
    else:
        yield above, data not in (None, [], {})


def compare(found: set[tuple[Key, bool]], keys: dict[Key, bool]) -> None:
    unknown = [key for key, full in found if not any(stands_for(name, key, whole=full) for name in keys)]
    assert not unknown, "not documented"
    missing = [name for name, must in keys.items() if must and not any(stands_for(name, key) for key, _ in found)]
    assert not missing, "documented, and not there"
