"""ovpass compress: compress floating-point weights."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ovpass.cli.apply import print_transformed
from ovpass.cli.grouped_help import GroupedCommand
from ovpass.cli.options import (
    PATH,
    json_option,
    model_argument,
    output_option,
    overwrite_option,
    settings_from,
    settings_given,
    settings_options,
    verbosity,
)
from ovpass.cli.output import note, print_json, print_table, print_title, progress, say, verdict
from ovpass.cli.plan import print_plans
from ovpass.compression.modes import BACKUPS, FALLBACKS, MODES, NNCF, PER_CHANNEL
from ovpass.compression.recipe import Recipe
from ovpass.errors import SettingsError
from ovpass.sites import kind_order
from ovpass.support.printable import in_one_line
from ovpass.targets.group_sizes import format_group_size

if TYPE_CHECKING:
    from ovpass.compression.calibration import Calibration
    from ovpass.compression.compress import Compressed
    from ovpass.compression.layout import Layout

_PER_CHANNEL = "per-channel"
_FEW = 2


def _weight_group(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    if value in (None, _PER_CHANNEL):
        return None if value is None else PER_CHANNEL
    try:
        return int(value)
    except ValueError:
        raise SettingsError(f"group-size {value!r}: use a number of weights, or {_PER_CHANNEL}") from None


def _entries(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(count) for count in value.split(",")) if value else ()
    except ValueError:
        raise SettingsError(f"entries {value!r}: use numbers with commas between them, as 256,16") from None


@click.command("compress", cls=GroupedCommand)
@model_argument
@output_option
@click.option("--mode", default="int8_sym", show_default=True, help=f"Compression mode: {', '.join(MODES)}.")
@click.option("--group-size", "weight_group", callback=_weight_group, metavar="SIZE", help="Weight group size along K.")
@click.option(
    "--group-size-fallback",
    default="error",
    show_default=True,
    help=f"If the group size does not divide K: {', '.join(FALLBACKS)}.",
)
@click.option("--ratio", type=float, help="Share of weights in --mode; the rest use --backup-mode.")
@click.option("--all-layers", is_flag=True, help="Use --mode for embeddings and the last layer, too.")
@click.option("--backup-mode", help=f"Mode of the other layers: {', '.join(BACKUPS)}.")
@click.option("--awq", is_flag=True, help="Activation-aware weight quantization; without --text, by weights.")
@click.option("--scale-estimation", is_flag=True, help="Optimize scales for the layer's output error.")
@click.option("--gptq", is_flag=True, help="Round weights with GPTQ.")
@click.option("--lora-correction", is_flag=True, help="Add low-rank adapters that correct the error.")
@click.option("--smooth", type=float, metavar="0..1", help="SmoothQuant: move outliers into the weights.")
@click.option("--codebook", type=PATH, help="Codebook (.npy, ascending values).  [codebook modes]")
@click.option("--vector-length", type=int, metavar="D", help="Weights in a vector: 2, 4, 8 or 16.  [vq modes]")
@click.option("--entries", callback=_entries, metavar="E", help="Entries of each codebook, as 256,16.  [vq modes]")
@click.option("--codebooks", type=int, metavar="N", help="Residual codebooks.  [vq modes]")
@click.option("--bits", type=float, metavar="B", help="Average bits a weight: the worst layers get more.  [vq2, vq3]")
@click.option("--max-kl", type=float, metavar="X", help="As few bits as this KL allows, nats per token.  [vq2, vq3]")
@click.option("--ignore", multiple=True, metavar="PATTERN", help="Do not compress these layers (repeatable).")
@click.option("--text", type=PATH, help="Calibration text.  [default: a novel]")
@click.option("--tokenizer", type=PATH, help="Tokenizer folder.  [default: MODEL's]")
@click.option("--samples", type=int, default=32, show_default=True, help="Calibration samples.")
@click.option("--sequence-length", type=int, default=128, show_default=True, help="Tokens per sample.")
@click.option("--then-apply", is_flag=True, help="Then apply the settings below, like 'ovpass apply'.")
@partial(settings_options, group_size="--activation-group-size")
@overwrite_option
@json_option
@partial(verbosity, verbose="List every site and every skipped layer.")
def command(
    model: Path,
    output: Path,
    then_apply: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Compress the floating-point weights of MODEL, and write it to OUT.

    NNCF does it, except for modes of ovpass: mant4 and mant3 (M-ANT, a 4- or 3-bit type of its own for each group), and
    vq4, vq3 and vq2 (vector quantization: codes for vectors of weights).
    """
    from ovpass.compression.compress import compress_source  # noqa: PLC0415 - not needed to print help

    if settings_given(options) and not then_apply:
        raise SettingsError("activation settings need --then-apply; add it, or leave them out")
    recipe = _recipe(options)
    # NNCF draws bars of its own: lines stay readable between them.
    bars = recipe.format.engine == NNCF and not quiet and sys.stderr.isatty()
    started = time.perf_counter()
    with progress(quiet=quiet or bars) as step:
        done = compress_source(
            model,
            output,
            recipe,
            calibration=_calibration(options),
            then=settings_from(options) if then_apply else None,
            overwrite=overwrite,
            progress=_line if bars else step,
            bars=bars,
        )
    seconds = time.perf_counter() - started
    if as_json:
        from ovpass.compression.json_report import compressed_to_dict  # noqa: PLC0415

        print_json({**compressed_to_dict(done), "seconds": round(seconds, 3)})
    elif not quiet:
        _print(done, seconds, verbose=verbose)


def _line(step: str) -> None:
    click.echo(f"{in_one_line(step)} ...", err=True)


def _recipe(options: dict[str, Any]) -> Recipe:
    flags = ("all_layers", "awq", "scale_estimation", "gptq", "lora_correction")
    names = (
        "mode",
        "group_size_fallback",
        "ratio",
        "backup_mode",
        "codebook",
        "smooth",
        "vector_length",
        "entries",
        "codebooks",
        "bits",
        "max_kl",
    )
    chosen = {name: options[name] for name in (*names, *flags)}
    return Recipe(group_size=options["weight_group"], ignore=options["ignore"], **chosen)


def _calibration(options: dict[str, Any]) -> Calibration:
    from ovpass.compression.calibration import Calibration  # noqa: PLC0415

    return Calibration(options["text"], options["tokenizer"], options["samples"], options["sequence_length"])


def _print(done: Compressed, seconds: float, *, verbose: bool) -> None:
    for model in done.models:
        if model.key and len(done.models) > 1:
            print_title(model.key)
        ordered = sorted(model.formats.items(), key=lambda item: kind_order(item[0].kind))
        rows = [(count, fmt.kind, fmt.weights) for fmt, count in ordered]
        print_table(("Layers", "Kind", "Weights (N x K)"), rows, numeric=("Layers",))
        _print_names("Ignored", model.ignored, verbose=verbose)
        _print_names("Left in floating point by NNCF", model.left, verbose=verbose)
        before, after = model.bytes_before, model.bytes_after
        if model.layout is not None:
            _print_layout(model.layout)
        say(f"Weights: {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB after ({100 * after / before:.0f} %).")
    if done.advice:
        _print_targets(done)
    for text in done.notes:
        note(text)
    if done.applied is not None:
        print_plans(done.applied.plans, verbose=verbose)
        print_transformed(done.applied, seconds)
    else:
        verdict(f"Written to {done.output} in {seconds:.2f} s.", ok=True)


def _print_layout(layout: Layout) -> None:
    counts = ", ".join(f"{mode} {count}" for mode, count in sorted(layout.layers.items()))
    say(f"Layers in vectors: {counts}; {layout.bits:.2f} bits a weight with codebooks and scales.")
    if (spent := layout.spent) is not None:
        low, high = spent.kl_interval or (spent.kl, spent.kl)
        say(f"KL on held-out text: {spent.kl:.3g} ({low:.3g} to {high:.3g}) nats per token, {spent.tokens} tokens.")


def _print_names(what: str, names: Sequence[str], *, verbose: bool) -> None:
    if names:
        few = names if verbose else names[:_FEW]
        say(f"{what} ({len(names)}): {', '.join(few)}{', ...' if len(few) < len(names) else ''}")


def _print_targets(done: Compressed) -> None:
    rows = [
        (
            entry.target,
            f"{entry.quantized} of {entry.sites}",
            format_group_size(entry.group_size),
            ", ".join(str(format_group_size(size)) for size in entry.groups) or None,
            "; ".join(entry.reasons) or None,
        )
        for entry in done.advice
    ]
    print_table(("Target", "Quantizes", "Default", "Groups that fit", "Left out because"), rows)
