"""Options that commands share, and their conversion to Settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from ovpass.cli.grouped_help import options_of
from ovpass.errors import SettingsError
from ovpass.evaluation.options import Evaluation
from ovpass.settings.lowerings import LOWERINGS
from ovpass.settings.overrides import override
from ovpass.settings.settings import AT_TOKENS, EXEMPTIONS, Rule, Settings, load_settings
from ovpass.targets.group_sizes import parse_group_size, parse_model_group_size
from ovpass.targets.names import known_names

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Decorator = Callable[[Any], Any]


class _Named(click.Path):
    """A path that is not empty: an unset shell variable must not mean the working folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            what = param.get_error_hint(ctx) if param is not None and ctx is not None else "path"
            raise SettingsError(f"{what} is empty; is a variable of the shell not set?")
        return super().convert(value, param, ctx)


# Whether it can be read is for who reads it to say, in one line.
PATH = _Named(path_type=Path, readable=False)
MODEL_TEXT = _Named(path_type=str, readable=False)
"""A model with its @ suffix, which the command parses."""

TARGET_HELP = f"Target device: {', '.join(known_names())}."
model_argument = click.argument("model", type=PATH)
json_option = click.option("--json", "as_json", is_flag=True, help="Print only JSON on stdout.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing output.")
copy_option = click.option("--copy-weights", is_flag=True, help="Copy weights instead of hard-linking them.")
output_option = click.option("-o", "--output", required=True, type=PATH, metavar="OUT", help="Output path.")

_setting, _more_setting, _measuring = (options_of(group) for group in ("Settings", "More settings", "Evaluation"))
_COMMON_SETTINGS = (
    _setting("--target", help=f"{TARGET_HELP}  [default: gpu-xmx]"),
    _setting("--exempt", multiple=True, metavar="PATTERN", help="Do not quantize these sites (repeatable)."),
    _setting(
        "--group-size-of",
        "sizes",
        multiple=True,
        nargs=2,
        metavar="PATTERN SIZE",
        help="Group size of these sites (repeatable).",
    ),
    _setting("--config", type=PATH, help="Settings file, YAML or JSON. Flags override it."),
)
_MORE_SETTINGS = (
    _more_setting("--threshold", type=int, help="Quantize activations with more tokens than this."),
    _more_setting("--axis", type=int, help="Quantization axis; -1 is K.  [lowering emulate]"),
    _more_setting("--asymmetric", is_flag=True, help="Quantize to u8 with a zero point."),
    _more_setting("--exempt-with", help=f"Method for exempt sites: {', '.join(EXEMPTIONS)}.  [default: auto]"),
    _more_setting("--requantize", is_flag=True, help="Convert other weights to 8 bits per channel.  [lowering int8]"),
    _more_setting(
        "--only-if-faster", is_flag=True, help="Skip sites that are not expected to be faster.  [target cpu]"
    ),
    _more_setting("--at-tokens", type=int, help=f"Number of tokens for --only-if-faster.  [default: {AT_TOKENS}]"),
    _more_setting(
        "--runtime-option",
        "runtime_options",
        multiple=True,
        metavar="K=V",
        help="Runtime option to write into the IR, such as KV_CACHE_PRECISION=u8 (repeatable).",
    ),
)
_EVALUATION = (
    _measuring("--text", type=PATH, help="Evaluation text.  [default: a novel]"),
    _measuring("--tokenizer", type=PATH, help="Tokenizer folder.  [default: MODEL's]"),
    _measuring("--windows", type=int, help="Number of text windows.  [default: 8; searches 2]"),
    _measuring("--window-tokens", type=int, help="Tokens per window.  [default: 512; searches 256; encoders 128]"),
    _measuring("--stride", type=int, help="Tokens between window starts.  [default: no overlap]"),
    _measuring("--skip-windows", "skip", type=int, default=0, help="Skip windows at the start of the text."),
    _measuring(
        "--profile", help="Device to emulate: a name as for --target, or none.  [default: --target's, or gpu-xmx]"
    ),
)


def cluster_options(option: Callable[..., _Decorator]) -> tuple[_Decorator, ...]:
    """--cluster and --mixed-hosts, made by `option`: click's own, or that of a section of the help."""
    return (
        option("--cluster", metavar="ADDRESS", help="Measure on a cluster of Dask: tcp://HOST:PORT, or local."),
        option("--mixed-hosts", is_flag=True, help="Allow workers with other CPUs or versions of OpenVINO."),
    )


def evaluation_options(command: _Command) -> _Command:
    """Add the options that `evaluation_from` reads."""
    for option in reversed(_EVALUATION):
        command = option(command)
    return command


def evaluation_from(options: dict[str, Any]) -> Evaluation:
    """Make an Evaluation from the options.

    Raises:
        SettingsError: for a device or numbers that are not possible.
    """
    if options["profile"] is not None and options.get("target") is not None:
        raise SettingsError("--target and --profile both name a device; use one of them")
    device = str(options.get("device", "CPU")).upper()
    return Evaluation(
        windows=options["windows"],
        window_tokens=options["window_tokens"],
        stride=options["stride"],
        skip=options["skip"],
        text=options["text"],
        tokenizer=options["tokenizer"],
        inputs=options.get("inputs", ()),
        profile=options["profile"] or "gpu-xmx",
        device=device,
    )


def verbosity(command: _Command, verbose: str = "List every site.") -> _Command:
    """Add --quiet, --verbose and --log-file. `verbose` says what -v shows."""
    help_text = f"{verbose} -vv also prints log messages."
    return _quiet(click.option("-v", "--verbose", count=True, callback=_verbose, help=help_text)(_log_file(command)))


def quiet_option(command: _Command) -> _Command:
    """The same for a command that lists nothing."""
    verbose = click.option(
        "-v", "--verbose", count=True, callback=_verbose, expose_value=False, help="-vv prints log messages."
    )
    return _quiet(verbose(_log_file(command)))


def _verbose(context: click.Context, _: click.Parameter, times: int) -> bool:
    if times > 1 and not context.resilient_parsing:
        from ovpass.cli.logs import log_to_standard_error  # noqa: PLC0415 - not needed to print help

        log_to_standard_error(context)
    return times > 0


def _keep_log(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is not None and not context.resilient_parsing:
        from ovpass.cli.logs import log_to_file  # noqa: PLC0415 - not needed to print help

        log_to_file(context, path)


_quiet = click.option("-q", "--quiet", is_flag=True, help="Print only errors.")
_log_file = click.option(
    "--log-file", type=PATH, callback=_keep_log, expose_value=False, help="Write log messages to this new file."
)


def settings_options(
    command: _Command, group_size: str = "--group-size", lowering: str = "[default: native]"
) -> _Command:
    """Add the options that `settings_from` reads.

    `group_size` is the name of the group size option. `lowering` is the default that the help of --lowering shows.
    """
    size = _setting(group_size, "group_size", help="Activation elements that share a scale, per-token, or off.")
    how = _setting("--lowering", help=f"Lowering: {', '.join(LOWERINGS)}.  {lowering}")
    for option in reversed((size, *_COMMON_SETTINGS, how, *_MORE_SETTINGS)):
        command = option(command)
    return command


def files_read(options: dict[str, Any]) -> list[Path | None]:
    """The files and the folder that shared options name. No output may be one of them."""
    return [options.get(name) for name in ("config", "text", "tokenizer", "inputs")]


def settings_given(options: dict[str, Any]) -> bool:
    """Whether any settings option is used."""
    names = ("config", "group_size", "threshold", "axis", "lowering", "target", "exempt_with", "at_tokens")
    flags = ("asymmetric", "requantize", "only_if_faster", "exempt", "sizes", "runtime_options")
    return any(options[name] is not None for name in names) or any(options[name] for name in flags)


def settings_from(options: dict[str, Any]) -> Settings:
    """Make Settings from the file, if any, and the flags, which override it.

    Raises:
        SettingsError: naming the problem.
    """
    base = load_settings(options["config"]) if options["config"] else Settings()
    names = ("threshold", "axis", "lowering", "target", "exempt_with", "at_tokens")
    changes: dict[str, Any] = {name: options[name] for name in names if options[name] is not None}
    if options["group_size"] is not None:
        changes["group_size"] = parse_model_group_size(options["group_size"])
    if options["asymmetric"]:
        changes["symmetric"] = False
    if options["requantize"]:
        changes["requantize"] = True
    if options["only_if_faster"]:
        changes["only_if_faster"] = True
    changes["rules"] = [Rule(match=pattern, group_size=_size_of(pattern, size)) for pattern, size in options["sizes"]]
    changes["runtime_options"] = parse_properties(options["runtime_options"], "--runtime-option")
    return override(base, changes, options["exempt"])


def parse_properties(texts: Sequence[str], flag: str = "--property") -> dict[str, str]:
    """Parse the `NAME=VALUE` options of `flag` to a mapping.

    Raises:
        SettingsError: for an option without that form.
    """
    pairs = [(text, *text.partition("=")) for text in texts]
    for text, name, equals, _ in pairs:
        if not equals or not name.strip():
            raise SettingsError(f"{flag} {text!r}: write it as NAME=VALUE")
    return {name.strip(): value.strip() for _, name, _, value in pairs}


def _size_of(pattern: str, size: str) -> int:
    try:
        return parse_group_size(size)
    except SettingsError as error:
        raise SettingsError(f"--group-size-of {pattern!r}: {error}") from error
