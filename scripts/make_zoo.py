#!/usr/bin/env python3
"""Make models/zoo again: tiny random-weight models as optimum-intel exports them and NNCF compresses them.

Needs the `export` extra without torchvision; no network. Some architectures are exported only with an older
transformers: run again in an environment that has it, and the rest is made.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import openvino as ov
from optimum.exporters.openvino import main_export
from optimum.intel import OVConfig
from zoo import media, text
from zoo.compression import Format, compress

ROOT = Path(__file__).resolve().parent.parent
OLD, NEW = "4.57.6", "5.5.4"
TEXT, ENCODER_DECODER, PICTURES = "text-generation-with-past", "text2text-generation-with-past", "image-text-to-text"
VERSIONS = ("openvino", "nncf", "optimum-intel", "transformers", "torch")


@dataclass(frozen=True)
class Recipe:
    """One architecture: what builds it, the exporter's task, and the format of its weights.

    `shapes` go to the exporter; of what it writes, the models that match `keep` are kept.
    """

    build: text.Build
    task: str
    format: Format
    transformers: str = NEW
    library: str = "transformers"
    shapes: dict[str, int] | None = None
    keep: str = "**/*"


RECIPES = {
    "llama": Recipe(text.decoder("Llama"), TEXT, Format("int4_sym", 32)),
    "qwen2": Recipe(text.decoder("Qwen2"), TEXT, Format("int4_asym", 32)),
    "qwen3": Recipe(text.decoder("Qwen3"), TEXT, Format("int4_sym", 64)),
    "qwen3-moe": Recipe(
        text.decoder("Qwen3Moe", num_experts=text.EXPERTS, num_experts_per_tok=2, moe_intermediate_size=text.HEAD),
        TEXT,
        Format("int4_sym", 32),
    ),
    "mixtral": Recipe(
        text.decoder("Mixtral", num_local_experts=text.EXPERTS, intermediate_size=text.HEAD),
        TEXT,
        Format("int4_asym", 64),
    ),
    "gemma3": Recipe(text.gemma3(), TEXT, Format("int8_asym"), OLD),
    "phi3": Recipe(text.decoder("Phi3"), TEXT, Format("int4_asym", 64)),
    "gpt2": Recipe(text.gpt2(), TEXT, Format("int4_sym", 32)),
    "gpt-neox": Recipe(text.gpt_neox(), TEXT, Format("int4_sym", -1, {"all_layers": True})),
    "opt": Recipe(text.opt(), TEXT, Format("nf4", 32)),
    "bloom": Recipe(text.bloom(), TEXT, Format("int4_asym", 64)),
    "t5": Recipe(text.t5(), ENCODER_DECODER, Format("int4_asym", 32)),
    "bart": Recipe(text.bart(), ENCODER_DECODER, Format("int4_sym", 64)),
    "bert": Recipe(text.bert(), "fill-mask", Format("int8_sym")),
    "whisper": Recipe(
        media.whisper(),
        "automatic-speech-recognition-with-past",
        Format("int4_sym", 64, {"ratio": 0.6}),
        shapes={"nb_max_frames": 2 * text.POSITIONS},
    ),
    "llava": Recipe(media.llava(), PICTURES, Format("int4_asym", 32)),
    "qwen2-vl": Recipe(media.qwen2_vl(), PICTURES, Format("int4_sym", 32), OLD),
    "sd3": Recipe(media.sd3(), "text-to-image", Format("int4_asym", 64), library="diffusers", keep="t*r/*"),
    "mamba": Recipe(text.mamba(), TEXT, Format("int4_sym", 32), OLD),
    "lfm2": Recipe(text.lfm2(), TEXT, Format("int4_sym", 64), OLD),
    "qwen3-next": Recipe(text.qwen3_next(), TEXT, Format("int4_asym", 32), OLD),
}


def make(name: str, recipe: Recipe, folder: Path) -> None:
    """Build, export and compress one architecture below the working directory, and put it into `folder`."""
    source, exported = Path(name), Path(f"{name}-exported")
    recipe.build(source)
    shapes = recipe.shapes or {}
    options = {"library_name": recipe.library, "ov_config": OVConfig(dtype="fp32"), "convert_tokenizer": False}
    main_export(str(source), exported, task=recipe.task, **options, **shapes)
    truth: dict[str, Any] = {
        "architecture": name,
        "task": recipe.task,
        "format": recipe.format.label,
        "versions": {package: version(package) for package in VERSIONS},
        "models": {},
    }
    for path in sorted(exported.glob(f"{recipe.keep}.xml")):
        place = path.relative_to(exported)
        compressed, statistics = compress(ov.Core().read_model(path), recipe.format)
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        ov.save_model(compressed, target, compress_to_fp16=False)
        truth["models"][place.as_posix()] = statistics
    for path in [*exported.rglob("config.json"), *exported.rglob("model_index.json")]:
        if (target := folder / path.relative_to(exported)).parent.is_dir():
            shutil.copy(path, target)
    (folder / "zoo.json").write_text(_lines(truth), encoding="utf-8")


def _lines(truth: dict[str, Any]) -> str:
    """JSON with a line for each weight."""
    text = json.dumps(truth, indent=1)
    return (
        re.sub(r"\{\n\s*\"mode\".*?\n\s*\}\n\s*\}", lambda found: re.sub(r"\n\s*", "", found[0]), text, flags=re.S)
        + "\n"
    )


def main() -> None:
    """Make the architectures named, or all that the installed transformers exports."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help="architectures to make (default: all)")
    parser.add_argument("--output", type=Path, default=ROOT / "models" / "zoo", help="folder to write")
    arguments = parser.parse_args()
    output: Path = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    installed = version("transformers")
    for name in arguments.names or RECIPES:
        recipe = RECIPES[name]
        if recipe.transformers != installed:
            print(f"{name}: left alone, it needs transformers {recipe.transformers}, this is {installed}")
            continue
        with tempfile.TemporaryDirectory(dir=output) as scratch:
            os.chdir(scratch)  # relative names: no path of this machine gets into the files
            make(name, recipe, Path(scratch) / "made")
            shutil.rmtree(output / name, ignore_errors=True)
            (Path(scratch) / "made").rename(output / name)
            os.chdir(output)
        size = sum(path.stat().st_size for path in (output / name).rglob("*") if path.is_file())
        print(f"{name}: {size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
