"""Call NNCF's compress_weights, capture its output and translate its errors."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ovpass.compression.calibration import Inputs
from ovpass.compression.recipe import Recipe
from ovpass.errors import ModelError, SettingsError
from ovpass.support.extras import extra_module
from ovpass.support.formatting import last_line

if TYPE_CHECKING:
    import openvino as ov


class GroupSizeError(SettingsError):
    """NNCF found layers whose K the group size does not divide."""


def load_nncf() -> Any:
    """The package.

    Raises:
        ExtraError: if it is not installed.
    """
    return extra_module("nncf", "compress", "compressing weights")


def compress_weights(
    model: ov.Model,
    xml: Path,
    recipe: Recipe,
    ignored: Sequence[str],
    dataset: Sequence[Inputs] | None,
    *,
    bars: bool,
) -> tuple[ov.Model, list[str]]:
    """The compressed model (`model` is used up), and what NNCF warned of. `ignored` are names of nodes.

    Raises:
        GroupSizeError: if the group size does not divide K of a layer.
        ModelError: if NNCF cannot do it for another reason.
    """
    from ovpass.passes.broadcast_lengths import lengths_kept  # noqa: PLC0415 - brings OpenVINO along

    nncf = load_nncf()
    options = _options(nncf, recipe)
    if dataset is not None:
        options |= {"dataset": nncf.Dataset(dataset), "subset_size": len(dataset)}
        _let_see_all(options["advanced_parameters"], len(dataset))
    scope = nncf.IgnoredScope(names=list(ignored)) if ignored else None
    with _reporting(bars) as warnings, lengths_kept(model) if recipe.gptq else nullcontext():
        try:
            compressed = nncf.compress_weights(model, ignored_scope=scope, **options)
        except nncf.InvalidGroupSizeError as error:
            raise GroupSizeError(f"{xml}: {error}") from error
        except Exception as error:  # NNCF has no class of its own for them all
            raise ModelError(f"{xml}: NNCF cannot compress it to {recipe.mode}{_reason(error, recipe)}") from error
    return compressed, warnings


def _reason(error: Exception, recipe: Recipe) -> str:
    """Why it failed, and with which methods."""
    why, methods = last_line(error), " and ".join(recipe.refinements)
    return f" with {methods}: {why}; try it without {methods}" if methods else f": {why}"


def _options(nncf: Any, recipe: Recipe) -> dict[str, Any]:
    """Only what was asked for: the 8-bit modes refuse even a False."""
    requested = {
        "group_size": recipe.group_size if not recipe.format.fixed_group else None,
        "ratio": recipe.ratio,
        "backup_mode": None if recipe.backup_mode is None else nncf.BackupMode(recipe.backup_mode),
        **dict.fromkeys(("all_layers", "awq", "scale_estimation", "gptq", "lora_correction"), True),
    }
    given = {name: value for name, value in requested.items() if value is not None and getattr(recipe, name)}
    advanced = nncf.AdvancedCompressionParameters(
        group_size_fallback_mode=nncf.GroupSizeFallbackMode(recipe.group_size_fallback), **_codebook(recipe)
    )
    return {"mode": nncf.CompressWeightsMode(recipe.mode), "advanced_parameters": advanced, **given}


def _let_see_all(advanced: Any, samples: int) -> None:
    """Each method looks at 32 to 128 samples, however many there are, unless told otherwise."""
    for method in ("awq", "scale_estimation", "gptq", "lora_correction"):
        getattr(advanced, f"{method}_params").subset_size = samples


def _codebook(recipe: Recipe) -> dict[str, Any]:
    if recipe.codebook is None:
        return {}
    values = read_codebook(recipe.codebook)
    advanced = extra_module("nncf.quantization.advanced_parameters", "compress", "compressing weights")
    adaptive = advanced.AdvancedAdaptiveCodebookParameters(num_elements=len(values))
    return {"codebook": values, "adaptive_codebook_params": adaptive}


def read_codebook(path: Path) -> Any:
    """The values of a codebook, [2 to 256] ascending.

    Raises:
        SettingsError: for a file that holds no such thing.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged header is parsed as Python, and fails as that does
        raise SettingsError(f"codebook {path}: cannot be read as .npy: {error}") from error
    row = isinstance(values, np.ndarray) and np.issubdtype(values.dtype, np.floating) and values.ndim == 1
    if not row or not 2 <= len(values) <= 256 or not np.isfinite(values).all() or not (np.diff(values) > 0).all():
        raise SettingsError(f"codebook {path}: must be one row of 2 to 256 floating-point values, ascending")
    return values


@contextmanager
def _reporting(bars: bool) -> Iterator[list[str]]:
    """NNCF prints bars and logs to stdout, which is for results: bars to stderr or nowhere, warnings collected."""
    logger = logging.getLogger("nncf")
    collector = _Collector()
    handlers, logger.handlers = logger.handlers, [collector]
    try:
        with redirect_stdout(sys.stderr if bars else io.StringIO()):
            yield collector.messages
    finally:
        logger.handlers = handlers


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(" ".join(record.getMessage().split()))
