"""Compression mode and options, validated before any file is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from ovpass.compression.modes import (
    BACKUPS,
    FALLBACKS,
    MODES,
    NNCF,
    PER_CHANNEL,
    VECTOR,
    VECTOR_STEPS,
    Mode,
    vector_encoding,
)
from ovpass.errors import SettingsError
from ovpass.formats.base import Encoding
from ovpass.formats.vector_encoding import VectorEncoding
from ovpass.settings.selection import Selector
from ovpass.support.choices import check_choice

_REFINEMENTS = ("awq", "scale_estimation", "gptq")


@dataclass(frozen=True)
class Recipe:
    """A compression mode and its options. None is NNCF's default for the mode.

    `group_size` is the number of elements of K that share a scale, PER_CHANNEL for all. `group_size_fallback` applies
    to layers whose K is not a multiple of it: "error", "adjust" (another group size) or "ignore" (not compressed).
    A share `ratio` (0 to 1) of the weights gets the mode, in whole layers, and the rest gets `backup_mode`. `ignore`
    are patterns of the selection grammar. `codebook` is a .npy with one ascending row. `smooth` (above 0, below 1) is
    the SmoothQuant strength, see ovpass/compression/smoothquant.py. `vector_length`, `entries` and `codebooks` change
    what a vector mode stores; one number of entries is that of every codebook. With `bits`, a budget of bits a weight,
    a vector mode is the least, and the layers that harm predictions most get those with more bits. `max_kl` is a budget
    of KL divergence in nats per token, which as few bits as possible keep.

    Raises:
        SettingsError: for options that do not fit the mode or each other.
    """

    mode: str = "int8_sym"
    group_size: int | None = None
    group_size_fallback: str = "error"
    ratio: float | None = None
    all_layers: bool = False
    backup_mode: str | None = None
    awq: bool = False
    scale_estimation: bool = False
    gptq: bool = False
    lora_correction: bool = False
    codebook: Path | None = None
    smooth: float | None = None
    vector_length: int | None = None
    entries: tuple[int, ...] = ()
    codebooks: int | None = None
    bits: float | None = None
    max_kl: float | None = None
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, tuple(MODES))
        check_choice("group-size-fallback", self.group_size_fallback, FALLBACKS)
        if self.backup_mode is not None:
            check_choice("backup-mode", self.backup_mode, BACKUPS)
        for pattern in self.ignore:
            Selector(pattern)
        self._check_group()
        self._check_mixture()
        self._check_refinements()
        self._check_codebook()
        self._check_vectors()
        self._check_budget()
        if self.smooth is not None and not 0 < self.smooth < 1:
            raise SettingsError(f"smooth {self.smooth}: use a strength above 0 and below 1; 0.5 is a good start")

    @property
    def format(self) -> Mode:
        """The properties of the mode."""
        return MODES[self.mode]

    @property
    def encoding(self) -> Encoding:
        """What the mode stores, group size and a codebook of the user's left out."""
        own = self.format.encoding
        if not isinstance(own, VectorEncoding):
            return own
        entries = self.entries or (own.entries if self.codebooks is None else own.entries[:1])
        books = entries * (self.codebooks or 1) if len(entries) == 1 else entries
        return VectorEncoding.of(self.vector_length or own.vector_length, books)

    @property
    def weight_group(self) -> int | None:
        """Elements of K that share a scale; None for all."""
        group = self.format.group_size if self.group_size is None else self.group_size
        return None if group == PER_CHANNEL else group

    @property
    def refinements(self) -> tuple[str, ...]:
        """The methods that fit the weights to activations, by name."""
        chosen = [name for name in (*_REFINEMENTS, "lora_correction") if getattr(self, name)]
        return tuple(name.replace("_", "-") for name in chosen)

    @property
    def needs_text(self) -> bool:
        """Whether calibration needs a text. AWQ alone does not."""
        return self.smooth is not None or self.format.needs_text or any(name != "awq" for name in self.refinements)

    @property
    def can_fit_weights(self) -> bool:
        """Whether a text can guide the compression. With a ratio below 1, activations choose the layers."""
        return self.format.needs_text or bool(self.refinements) or (self.ratio is not None and self.ratio < 1)

    @property
    def can_use_text(self) -> bool:
        """Whether a text has an effect."""
        return self.smooth is not None or self.can_fit_weights

    def _check_group(self) -> None:
        mode = self.format
        if self.group_size is not None and self.group_size != PER_CHANNEL and self.group_size < 1:
            raise SettingsError(f"group-size {self.group_size}: use a number of weights, or per-channel")
        if mode.fixed_group and self.group_size not in (None, mode.group_size):
            given = "per-channel" if self.group_size == PER_CHANNEL else self.group_size
            own = "per channel" if mode.group_size == PER_CHANNEL else f"in groups of {mode.group_size}"
            raise SettingsError(
                f"group-size {given}: mode {self.mode} is always {own}; leave it out or use another mode"
            )
        if mode.fixed_group and self.group_size_fallback == "adjust":
            raise SettingsError(f"group-size-fallback adjust: mode {self.mode} has a fixed group size")

    def _check_mixture(self) -> None:
        given = {"ratio": self.ratio is not None, "all-layers": self.all_layers, "backup-mode": self.backup_mode}
        if not self.format.mixed:
            for name, value in given.items():
                if value:
                    raise SettingsError(f"{name}: mode {self.mode} treats every layer alike; leave it out")
        elif self.ratio is not None and self.format.engine != NNCF:
            raise SettingsError(f"ratio: mode {self.mode} takes all layers but the last; leave it out, or use ignore")
        # NNCF takes a ratio of 0 for 1.
        if self.ratio is not None and not 0 < self.ratio <= 1:
            raise SettingsError(f"ratio {self.ratio}: use the share of weights in {self.mode}, above 0 and up to 1")

    def _check_refinements(self) -> None:
        for name in self.refinements:
            field = name.replace("-", "_")
            if field not in self.format.methods:
                modes = [mode.name for mode in MODES.values() if field in mode.methods]
                raise SettingsError(f"{name}: mode {self.mode} does not support it; {', '.join(modes)} do")
        if self.gptq and self.lora_correction:
            raise SettingsError("gptq and lora-correction cannot be combined; choose one")

    def _check_vectors(self) -> None:
        given = {"vector-length": self.vector_length, "entries": self.entries, "codebooks": self.codebooks}
        names = [name for name, value in given.items() if value]
        if self.format.engine != VECTOR:
            if names:
                modes = ", ".join(mode.name for mode in MODES.values() if mode.engine == VECTOR)
                raise SettingsError(f"{names[0]}: mode {self.mode} has no vectors; {modes} have")
            return
        if self.codebooks is not None and (self.codebooks < 1 or len(self.entries) not in (0, 1, self.codebooks)):
            counts = ",".join(map(str, self.entries))
            raise SettingsError(
                f"codebooks {self.codebooks}: entries {counts or 'alone'} do not fit; give as many numbers"
            )
        try:
            _ = self.encoding
        except ValueError as error:
            raise SettingsError(f"mode {self.mode}: {error}") from error

    def _check_budget(self) -> None:
        given = [name for name, budget in (("bits", self.bits), ("max-kl", self.max_kl)) if budget is not None]
        if not given:
            return
        if len(given) > 1:
            raise SettingsError("bits and max-kl are both budgets; choose one")
        name, fewer = given[0], VECTOR_STEPS[:-1]
        if self.mode not in fewer:
            raise SettingsError(f"{name}: is for modes {' and '.join(fewer)}, not {self.mode}; leave it out")
        if self.vector_length or self.entries or self.codebooks:
            raise SettingsError(f"{name}: layers get vq2, vq3 or vq4; leave out vector-length, entries and codebooks")
        least = vector_encoding(self.mode).code_bits
        if self.bits is not None and not least < self.bits < math.inf:
            raise SettingsError(f"bits {self.bits:g}: codes of {self.mode} alone have {least:g}; use more")
        if self.max_kl is not None and not 0 < self.max_kl < math.inf:
            raise SettingsError(f"max-kl {self.max_kl:g}: a budget is a finite number of nats per token above 0")

    def _check_codebook(self) -> None:
        if self.format.needs_codebook and self.codebook is None:
            raise SettingsError(f"mode {self.mode} needs a codebook: name a .npy of its values, or use cb4")
        if self.codebook is not None and "codebook" not in self.mode:
            raise SettingsError(f"codebook: mode {self.mode} does not use it; modes codebook and adaptive_codebook do")
