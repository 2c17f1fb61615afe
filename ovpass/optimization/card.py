"""The model card: README.md in the form of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ovpass.optimization.generate_script import FILE_NAME as SCRIPT
from ovpass.optimization.kv_cache import describe_chosen
from ovpass.optimization.request import Request
from ovpass.optimization.stages import Stage
from ovpass.optimization.tasks import scores_of
from ovpass.planning.summary import needs
from ovpass.serving.server import server_command
from ovpass.support.formatting import counted, number
from ovpass.support.printable import in_one_line
from ovpass.version import __version__

FILE_NAME = "README.md"


def card(request: Request, stages: list[Stage], found: Mapping[str, Any], size: int, *, script: bool) -> str:
    """The text. `found` is the JSON of each command, `size` the bytes of the weights; `script`: one generates text."""
    versions = f"ovpass {__version__} with OpenVINO {found['apply']['run']['openvino']}"
    lines = [
        *_header(request, found),
        f"# {in_one_line(request.output.name)}",
        "",
        f"Made by {versions} from `{in_one_line(request.source.name)}` for {request.target}.",
        "",
        *_results(found, size),
        "",
        "## How it was made",
        "",
        "```bash",
        *(_line(stage) for stage in stages if stage.left_out is None),
        "```",
        "",
        *(_serving(found) if "layout" in found else _running(found, script)),
        *_limits(stages),
    ]
    return "\n".join(lines) + "\n"


def _header(request: Request, found: Mapping[str, Any]) -> list[str]:
    import yaml  # noqa: PLC0415

    header: dict[str, Any] = {"library_name": "openvino", "tags": ["openvino", "ovpass", "dynamic-quantization"]}
    if found.get("tune"):
        header["pipeline_tag"] = "text-generation"
    header["base_model"] = request.source.name
    return ["---", yaml.safe_dump(header, sort_keys=False).rstrip(), "---", ""]


def _results(found: Mapping[str, Any], size: int) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    yield f"| size of the weights | {size / 1e6:.1f} MB |"
    counts = found["apply"]["counts"]
    yield f"| activations quantized | {counts['quantize']} of {counted(sum(counts.values()), 'MatMul')} |"
    if (cache := describe_chosen(found.get("tune") or {})) is not None:
        yield f"| KV cache | {cache} |"
    if evaluated := found.get("evaluate"):
        yield from _accuracy(evaluated)
    if verified := found.get("verify"):
        device = f"simulated {verified['simulated']}" if verified["simulated"] else verified["device"]
        yield f"| verified on | {device}: {counted(len(verified['sites']), 'site')} as planned |"


def _accuracy(evaluated: Mapping[str, Any]) -> Iterator[str]:
    (judged,) = evaluated["candidates"]
    yield f"| perplexity before | {number(evaluated['reference_perplexity'], 5)} |"
    yield f"| perplexity | {number(judged['perplexity'], 5)} |"
    yield f"| KL divergence, nats per token | {number(judged['kl']['mean'])} |"
    yield f"| same most likely token | {judged['top1_agreement']:.1f} % |"
    if (scores := scores_of(evaluated)) is not None:
        yield f"| score on ovpass's tasks, of 100 points | {scores[0]:.1f} before, {scores[1]:.1f} after |"


def _line(stage: Stage) -> str:
    """The command, without the folders of this machine."""
    words = tuple(Path(word).name if "/" in word else word for word in stage.arguments)
    return replace(stage, arguments=words).line


def _running(found: Mapping[str, Any], script: bool) -> Iterator[str]:
    yield from ("## Run it", "")
    if script:
        yield from ("With OpenVINO GenAI:", "", "```bash", f'python {SCRIPT} "PROMPT"', "```", "")
    else:
        applied = found["apply"]
        needed = needs(applied["run_environment"], applied["run_properties"])
        yield from (" ".join(["Any program that runs the source runs it.", *needed]), "")


def _serving(found: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## Serve it", "", "In this folder:", "", "```bash")
    yield server_command(Path(), found["layout"]["environment"])
    yield from ("```", "")


def _limits(stages: list[Stage]) -> Iterator[str]:
    left_out = [stage for stage in stages if stage.left_out is not None]
    if not left_out:
        return
    yield "## Left out"
    yield ""
    for stage in left_out:
        yield f"- {stage.command}: {stage.left_out}"
