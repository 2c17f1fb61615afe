"""Variants of compressed weights to be measured: how each is made, and what is kept of its measurements."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import get_smollm2 as base
from get_smollm2_float import get_float

from ovpass.compression.compress import compress_source
from ovpass.compression.recipe import Recipe

GROUP = 64
"""The largest that divides every K of SmolLM2, 576 and 1536."""
VARIANTS = {
    "int8": Recipe("int8_sym"),
    "int8 smoothed": Recipe("int8_sym", smooth=0.5),
    "int4 rounded": Recipe("int4_sym", group_size=GROUP),
    "int4 AWQ": Recipe("int4_sym", group_size=GROUP, awq=True),
    "int4 AWQ + SE": Recipe("int4_sym", group_size=GROUP, awq=True, scale_estimation=True),
    "int4 smoothed": Recipe("int4_sym", group_size=GROUP, awq=True, scale_estimation=True, smooth=0.5),
    "int4 GPTQ": Recipe("int4_sym", group_size=GROUP, gptq=True),
    "nf4": Recipe("nf4", group_size=GROUP),
}
WINDOW_TOKENS = 512


@dataclass(frozen=True)
class Bench:
    """The model, how it is judged, and the folder in which results are kept."""

    model: Path
    work: Path
    windows: int
    items: int

    def kept(self, name: str, make: Callable[[], Any]) -> tuple[Any, float]:
        """What `make` gives, as JSON, and the seconds it took; read from the work folder where it is there."""
        path = self.work / f"{name.replace(' ', '_')}.json"
        question = {"model": str(self.model), "windows": self.windows, "items": self.items}
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if found.get("question") != question:
            print(f"{name} ...", file=sys.stderr)
            started = time.perf_counter()
            found = {"question": question, "answer": make(), "seconds": time.perf_counter() - started}
            path.write_text(json.dumps(found, indent=1), encoding="utf-8")
        return found["answer"], found["seconds"]

    def compressed(self, variant: str) -> tuple[Path, float]:
        """The folder of a variant, and the seconds it took."""
        folder = self.work / variant.replace(" ", "_")
        recipe = VARIANTS[variant]
        _, seconds = self.kept(
            f"{variant} compressed", lambda: str(compress_source(self.model, folder, recipe, overwrite=True).output)
        )
        return folder, seconds


def options(
    description: str | None, work: str, items: int, variants: Sequence[str] = tuple(VARIANTS)
) -> argparse.Namespace:
    """What the command line says: the model (made where none is named), the work folder, and what is measured."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a folder in floating point  [default: SmolLM2-135M]")
    parser.add_argument("--work", type=Path, default=Path(work), help="folder for what is made")
    parser.add_argument("--windows", type=int, default=4, help=f"windows of {WINDOW_TOKENS} tokens")
    parser.add_argument("--items", type=int, default=items, help="items of each task, at most")
    parser.add_argument("--variants", default=",".join(variants), help=f"of {', '.join(VARIANTS)}, by comma")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    given.model = (given.model or get_float(base.cache_folder())).resolve()
    given.work, given.variants = given.work.resolve(), given.variants.split(",")
    return given


def summary(judged: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Perplexity, its change, KL and agreement of a comparison as `ovpass evaluate --json` gives it."""
    return (
        f"{judged['perplexity']:.2f}",
        f"{judged['perplexity_delta_percent']:+.1f}",
        f"{judged['kl']['mean']:.2g}",
        f"{judged['top1_agreement']:.1f}",
    )


def megabytes(folder: Path) -> str:
    """The size of the weights."""
    return f"{(folder / base.IR_FILES[1]).stat().st_size / 1e6:.1f}"
