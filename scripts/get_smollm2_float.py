#!/usr/bin/env python3
"""Get SmolLM2-135M-Instruct without the loss of the GGUF conversion, and print the folder's path.

OpenVINO GenAI rounds the minimum of each Q4_1 block to a zero point, which costs 8 to 9 % of the weights. Here they are
dequantized first, as `ovpass convert --exact` does, and stored in f16 (relative rounding 5e-4), as `smollm2-135m-f16`
beside the folder of get_smollm2.py. With --int8 NNCF compresses that to symmetric 8 bit per channel, as
`smollm2-135m-int8`.
Exit code 2: no network, or a package missing; `pip install -e ".[dev]"` has them all.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import get_smollm2 as base
import openvino as ov

from ovpass.conversion.gguf_file import open_gguf
from ovpass.conversion.gguf_genai import convert_with_genai

FLOAT, INT8 = f"{base.FOLDER}-f16", f"{base.FOLDER}-int8"


def get_float(cache: Path) -> Path:
    """The f16 folder, made first if it is not there."""
    return base.kept(cache / FLOAT, make_float)


def get_int8(cache: Path) -> Path:
    """The folder with weights in i8 per channel, made first if it is not there."""
    return base.kept(cache / INT8, lambda scratch: make_int8(get_float(cache), scratch))


def make_float(scratch: Path) -> Path:
    """Download, dequantize and convert inside `scratch`."""
    base.require("gguf", "openvino_genai")
    folder = scratch / FLOAT
    folder.mkdir()
    gguf = base.fetch_gguf(folder)
    base.say("converting the exact weights to OpenVINO IR")
    convert_with_genai(open_gguf(gguf), folder, exact=True, progress=lambda _: None)
    base.write_configs(folder)
    return folder


def make_int8(source: Path, scratch: Path) -> Path:
    """The float folder compressed by NNCF."""
    base.require("nncf")
    base.say("compressing to int8")
    folder = scratch / INT8
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("openvino_model.*"))
    base.save_int8(ov.Core().read_model(source / base.IR_FILES[0]), folder)
    return folder


def main() -> int:
    """Print the folder's path; 0, or 2 with a reason on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--int8", action="store_true", help="weights in i8 per channel instead of f16")
    return base.print_folder(get_int8 if parser.parse_args().int8 else get_float)


if __name__ == "__main__":
    sys.exit(main())
