"""Runs as commands print them, of a model that does not exist, with as many sites as a test wants."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ovpass.reporting.runs import Run, make_run
from ovpass.reporting.side import Side
from ovpass.version import JSON_FORMAT

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">&amp;'\"<b>"
"""A name that is text and nothing else, whatever it looks like."""

_KINDS = ("attn.q", "attn.k", "attn.v", "attn.out", "mlp.gate", "mlp.up", "mlp.down")
_SERIES = {"samples": [9.0, 10.0, 11.0], "ratio": None, "interval": None}

Data = dict[str, Any]


def names(count: int) -> list[str]:
    """The head, and blocks of seven sites each."""
    return [*(f"model.layers.{i // 7}.{_KINDS[i % 7]}" for i in range(count - 1)), "lm_head"]


def header(command: str, sites: str = "abc", path: str = "models/made", **changes: Any) -> Data:
    model = {"path": path, "sites": sites, "weights": "def", "changed": False}
    machine = {"cpu": "A CPU", "cpus": 2, "system": "Linux x86_64", "python": "3.11.2"}
    return {
        "format": JSON_FORMAT,
        "command": command,
        "arguments": [path, "--json"],
        "date": "2026-01-02T03:04:05+00:00",
        "ovpass": "0.1.0",
        "openvino": "2026.4.1",
        "machine": machine,
        "models": [model],
        "files": {},
        **changes,
    }


def inspect(site_names: Sequence[str]) -> Data:
    last = len(site_names) - 1
    sites = [
        {
            "name": name,
            "kind": "lm_head" if i == last else _KINDS[i % 7],
            "layer": None if i == last else i // 7,
            "k": 64,
            "n": 128,
            "weight_type": "i4",
            "weight_group_size": 32,
            "symmetric": True,
            "eligible": True,
            "reason": "i4 weights, K=64",
            "group_size": "per-token",
        }
        for i, name in enumerate(site_names)
    ]
    return {"target": "gpu-xmx", "group_size": "per-token", "sites": sites, "run": header("inspect")}


def plan(site_names: Sequence[str], exempt: Sequence[str] = (), group: int | str = 64) -> Data:
    decisions = [
        {
            "name": site["name"],
            "action": "exempt" if site["name"] in exempt else "quantize",
            "reason": "exempt by a rule" if site["name"] in exempt else site["reason"],
            "kind": site["kind"],
            "layer": site["layer"],
            "weights": "i4 symmetric g32 128x64",
            "group_size": None if site["name"] in exempt else group,
        }
        for site in inspect(site_names)["sites"]
    ]
    return {"settings": {"group_size": group}, "decisions": decisions, "run": header("plan")}


def verify(planned: Data, differing: Sequence[str] = ()) -> Data:
    sites = []
    for entry in planned["decisions"]:
        size = entry["group_size"] or "not quantized"
        found = "not quantized" if entry["name"] in differing else size
        sites.append({"name": entry["name"], "planned": size, "found": found, "group_size": None})
    mismatches = [
        {**{k: s[k] for k in ("name", "planned", "found")}, "reason": "planned because: so"}
        for s in sites
        if s["planned"] != s["found"]
    ]
    return {
        "ok": not mismatches,
        "device": "GPU",
        "simulated": "arc-a770",
        "sites": sites,
        "dynamic_quantize_nodes": 5,
        "mismatches": mismatches,
        "thresholds": [{"tokens": 64, "executed": False}, {"tokens": 65, "executed": True}],
        "threshold": 64,
        "notes": ["the device is simulated"],
        "run": header("verify"),
    }


def evaluate(candidate: str = "models/made@64") -> Data:
    kl = {"mean": 0.0123, "median": 0.01, "trimmed": 0.011, "p99": 0.1, "max": 1.0, "mean_interval": [0.01, 0.02]}
    judged = {
        "model": candidate,
        "runs": "gpu-xmx emulated",
        "perplexity": 40.0,
        "perplexity_delta_percent": 0.85,
        "perplexity_delta_interval": [0.5, 1.1],
        "kl": kl,
        "top1_agreement": 93.1,
        "top1_interval": [92.0, 94.0],
        "windows": 8,
        "tokens": 4088,
    }
    return {
        "reference": "models/made",
        "reference_runs": "f32 compute",
        "reference_perplexity": 39.7,
        "candidates": [judged],
        "run": header("evaluate"),
    }


def sensitivity(site_names: Sequence[str]) -> Data:
    cost = {"mean": 0.02, "trimmed": 0.02, "top1_lost": 5.0}
    ranking = [
        {
            "name": site["name"],
            "kind": site["kind"],
            "layer": site["layer"],
            "sites": [site["name"]],
            "costs": {"mean": 0.1, "trimmed": 0.1 / (i + 1), "top1_lost": 1.0},
            "saves": None,
            "screened": i > 3,
        }
        for i, site in enumerate(inspect(site_names)["sites"])
    ]
    return {"by": "site", "tokens": 100, "together": cost, "ranking": ranking, "run": header("sensitivity")}


def tune(planned: Data) -> Data:
    points = [
        {
            "group_size": size,
            "left_out": n,
            "share": 1 - n / 10,
            "spent": {"kl": 0.1 / (n + scale), "perplexity_percent": 1},
        }
        for size, scale in (("per-token", 1), (64, 5))
        for n in range(4)
    ]
    order = [entry["name"] for entry in planned["decisions"]]
    chosen = points[5]
    evidence = {"budget": {"max_kl": 0.02}}
    return {
        "plan": {"settings": planned["settings"], "decisions": planned["decisions"], "evidence": evidence},
        "chosen": chosen,
        "held_out": {"kl": 0.018, "perplexity_percent": 0.9},
        "left_out": [],
        "frontier": points[:3:-1],
        "measured": points,
        "leaving": {"per-token": order, "64": order[:-1]},
        "run": header("tune"),
    }


def bench(models: Sequence[str] = ("models/made", "models/made@X=1")) -> Data:
    subjects = [
        {
            "model": model,
            "properties": {},
            "environment": {},
            "effective_properties": {},
            "thresholds": [64],
            "load_seconds": 0.5,
            "peak_mb": 100.0,
        }
        for model in models
    ]
    measurements = [
        {
            "subject": subject,
            "prompt_tokens": tokens,
            "ttft_ms": {**_SERIES, "median": tokens / (1 + subject), "ratio": 0.64 if subject else None},
            "tpot_ms": {**_SERIES, "median": 10.0},
        }
        for tokens in (32, 64, 512)
        for subject in range(len(models))
    ]
    return {
        "device": "CPU",
        "device_name": "A CPU",
        "cpus": 2,
        "repeats": 3,
        "output_tokens": 32,
        "subjects": subjects,
        "measurements": measurements,
        "run": header("bench"),
    }


def everything(site_names: Sequence[str], exempt: Sequence[str] = (), differing: Sequence[str] = ()) -> list[Data]:
    """A run of every command."""
    planned = plan(site_names, exempt)
    return [
        inspect(site_names),
        planned,
        verify(planned, differing),
        evaluate(),
        sensitivity(site_names),
        tune(planned),
        bench(),
    ]


def side(runs: Sequence[Data]) -> Side:
    return Side.of(loaded(runs))


def loaded(runs: Sequence[Data]) -> list[Run]:
    return [make_run(copy.deepcopy(run), f"{number}.json") for number, run in enumerate(runs)]


def saved(runs: Sequence[Data], folder: Path) -> list[Path]:
    """The runs as files."""
    paths = []
    for number, run in enumerate(runs):
        path = folder / f"{number}-{run['run']['command']}.json"
        path.write_text(json.dumps(run), encoding="utf-8")
        paths.append(path)
    return paths
