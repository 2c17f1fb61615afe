"""Libraries are built once, and one that is not ours, or not as it was built, is never loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ovpass
from ovpass.errors import KernelError, ModelError
from ovpass.formats.vector_encoding import VectorEncoding
from ovpass.kernels import build, library, tune, tuned
from ovpass.kernels.shape import KernelShape
from ovpass.kernels.source import Choice, sources
from ovpass.kernels.toolchain import find_compiler, find_toolchain
from tests.kernels.models import saved, vector_model

SHAPE = KernelShape(576, 960, 4, 256, 1)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds a copy of the library, and no choices of the tuner."""
    folder = library([]).parent
    shutil.copytree(folder, tmp_path / "ovpass" / "kernels" / folder.name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return library().parent


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)


def test_a_library_is_built_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_build", lambda *_: pytest.fail("it is there already"))
    assert library().parent == cache


def test_a_damaged_library_is_refused(cache: Path) -> None:
    path = cache / build.LIBRARY
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(KernelError, match=rf"is damaged.*remove {cache}"):
        library()


def test_a_library_that_others_may_write_is_refused(cache: Path) -> None:
    (cache / build.LIBRARY).chmod(0o777)
    with pytest.raises(KernelError, match="others may write"):
        library()


@pytest.mark.parametrize("key", ["openvino", "processor", "compiler", "source"])
def test_a_library_for_something_else_is_refused(cache: Path, key: str) -> None:
    manifest = json.loads((cache / build.MANIFEST).read_text())
    (cache / build.MANIFEST).write_text(json.dumps({**manifest, key: "another"}))
    with pytest.raises(KernelError, match=f"another {key}"):
        library()


def test_an_incomplete_library_is_refused(cache: Path) -> None:
    (cache / build.MANIFEST).unlink()
    with pytest.raises(KernelError, match="incomplete"):
        library()


@pytest.mark.usefixtures("no_compiler", "small_models_win")
def test_without_a_compiler_nothing_is_written(tmp_path: Path) -> None:
    source = saved(vector_model(VectorEncoding.of(4, [16])), tmp_path)
    with pytest.raises(KernelError, match=r"no C\+\+ compiler; install g\+\+") as refused:
        ovpass.transform(source, tmp_path / "out.xml", ovpass.Settings(lowering="kernel", target="cpu"))
    assert "\n" not in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    ovpass.transform(source, tmp_path / "gpu.xml", ovpass.Settings(lowering="kernel", target="gpu-no-xmx"))


def test_what_the_compiler_says_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = {"operation.cpp": "#error no such variant"}
    with pytest.raises(KernelError, match=r"cannot compile the kernels: .*no such variant") as refused:
        build._built(find_toolchain(), files)
    assert "\n" not in str(refused.value)
    assert list(build.library_cache().iterdir()) == []


def test_choices_are_kept_for_this_processor(tmp_path: Path) -> None:
    toolchain = find_toolchain()
    tuned.keep_choices(toolchain, tmp_path, [(SHAPE, Choice(2, 4))])
    tuned.keep_choices(toolchain, tmp_path, [(SHAPE, Choice(6, 16)), (KernelShape(64, 64, 2, 64, 1), Choice())])
    kept = dict(tuned.kept_choices(toolchain, tmp_path))
    assert kept[SHAPE] == Choice(6, 16)
    assert len(kept) == 2
    assert "Choice{576, 960, 4, 256, 1, 6, 16}" in sources(list(kept.items()))["variant.hpp"]


@pytest.mark.usefixtures("small_models_win")
def test_the_choices_for_a_model_are_kept(cache: Path, tmp_path: Path) -> None:
    source = saved(vector_model(VectorEncoding.of(4, [16])), tmp_path)
    with pytest.raises(ModelError, match="no kernels to tune"):
        tune(source)
    settings = ovpass.Settings(lowering="kernel", target="cpu")
    found = tune(ovpass.transform(source, tmp_path / "kernel.xml", settings).output)
    assert {each.shape for each in found} == {KernelShape(96, 160, 4, 16, 1), KernelShape(160, 72, 4, 16, 1)}
    kept = tuned.kept_choices(find_toolchain(), cache.parent)
    assert dict(kept) == {each.shape: each.choice for each in found}


@pytest.mark.parametrize("text", ["[", "[1]", '[{"k": 1}]', '{"a": 1}'])
def test_damaged_choices_are_refused(text: str, tmp_path: Path) -> None:
    toolchain = find_toolchain()
    tuned.keep_choices(toolchain, tmp_path, [(SHAPE, Choice())])
    [path] = tmp_path.iterdir()
    path.write_text(text)
    with pytest.raises(KernelError, match="is damaged"):
        tuned.kept_choices(toolchain, tmp_path)


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert build.library_cache().is_relative_to(Path.home())
    assert os.access(library(), os.R_OK)


@pytest.mark.slow
def test_a_library_stays_when_its_core_is_gone(tmp_path: Path) -> None:
    """GNU's unique symbols keep a library loaded, but not where an earlier library has brought the same symbols."""
    source, earlier = tmp_path / "earlier.cpp", tmp_path / "earlier.so"
    source.write_text('#include <memory>\nextern "C" int f() { return *std::make_shared<int>(0); }\n')
    subprocess.run([find_compiler(), "-O0", "-shared", "-fPIC", str(source), "-o", str(earlier)], check=True)
    program = (
        "import ctypes, pathlib; from ovpass.kernels.loading import core_for; "
        f"kept = ctypes.CDLL({str(earlier)!r}); core = core_for('CPU'); del core; "
        f"print({build.LIBRARY!r} in pathlib.Path('/proc/self/maps').read_text())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "True"
