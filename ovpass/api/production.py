"""Make models: convert, compress, and all stages in one call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovpass.api.keywords import ConversionKeywords, RecipeKeywords, names_of, split, with_keywords
from ovpass.api.models import Source, on_disk
from ovpass.cli.output import progress
from ovpass.compression.calibration import Calibration
from ovpass.compression.compress import Compressed, compress_source
from ovpass.compression.recipe import Recipe
from ovpass.conversion.convert import Converted, convert_source
from ovpass.conversion.source import Options
from ovpass.optimization.optimize import Optimized
from ovpass.optimization.optimize import optimize as optimize_source
from ovpass.settings.settings import Settings

if TYPE_CHECKING:
    from typing_extensions import Unpack


def convert(
    source: Path | str,
    output: Path | str,
    *,
    overwrite: bool = False,
    quiet: bool = False,
    **keywords: Unpack[ConversionKeywords],
) -> Converted:
    """Convert a GGUF file, a Hugging Face folder or an ONNX model to the model folder `output`, never by network.

    The keywords `task`, `weight_format` ("fp16", the default, or "fp32") and `trust_remote_code` are for Hugging Face
    folders, `exact` (dequantize to f16) and `integer_zero_points` (round zero points) for GGUF files. `requantize`
    makes integers with whole zero points of packed and of GGUF weights that have none: "i8" per channel, "u4" in groups
    of 32, or one of them in other groups, as in "i8:64".

    Raises:
        OvpassError: a subclass, for an invalid source, setting or path, and for missing packages; then nothing
            is written.
    """
    options = with_keywords(Options(), keywords)
    with progress(quiet=quiet) as step:
        return convert_source(source, output, options, overwrite=overwrite, progress=step)


def compress(
    model: Source,
    output: Path | str,
    recipe: Recipe | None = None,
    *,
    calibration: Calibration | None = None,
    then: Settings | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    **keywords: Unpack[RecipeKeywords],
) -> Compressed:
    """Compress the floating-point weights of a model, and write it to `output`.

    The output has the form of the source; a model in memory becomes an .xml, and `tokenizer` names a folder if a text
    is needed. The keywords are the fields of Recipe and Calibration, which they override. With `then`, those settings
    are applied to the result.

    Raises:
        OvpassError: a subclass, for an invalid model, recipe, text, setting or path, and if NNCF is not installed.
            Then nothing is written.
    """
    sampled, chosen = split(keywords, names_of(Calibration))
    how, texts = with_keywords(recipe or Recipe(), chosen), with_keywords(calibration or Calibration(), sampled)
    with on_disk(model) as path, progress(quiet=quiet) as step:
        return compress_source(path, output, how, calibration=texts, then=then, overwrite=overwrite, progress=step)


def optimize(source: Source, output: Path | str, *, quiet: bool = False, **options: Any) -> Optimized:
    """Convert, compress, tune, apply, verify and evaluate a source, and write a model that is ready to run.

    The keywords are the options of `ovpass optimize`: target, max_kl (nats per token), max_ppl_increase (percent),
    preset, kv, max_task_drop, weights, memory, text, windows, window_tokens, work, layout and overwrite.

    Raises:
        OvpassError: a subclass, for an invalid source, setting or path. Then `output` is not written.
        CheckFailedError: if nothing can be quantized within the budget, or the plugin does not follow the plan.
    """
    with on_disk(source) as path:
        return optimize_source(path, output, quiet=quiet, **options)
