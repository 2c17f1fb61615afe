"""Which stages a source needs: each is a command line, or left out for a reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ovpass.compression.modes import MODES
from ovpass.conversion.find_source import FoundSource, find_source, holds_ir
from ovpass.conversion.gguf import GGUF
from ovpass.errors import NoDeviceError
from ovpass.evaluation.feeding import is_language_model
from ovpass.ir.files import IrFile, open_source
from ovpass.optimization.estimates import (
    WITH_CACHE,
    Estimate,
    check_memory,
    count_weights,
    estimate,
    mode_within,
    total,
)
from ovpass.optimization.request import DEFAULT_WEIGHTS, FOLDER, Request
from ovpass.optimization.stages import Stage
from ovpass.optimization.tasks import TASKS
from ovpass.sites.files import find_sites_in_file
from ovpass.support.sizes import parse_size
from ovpass.targets.names import find_name, get_profile
from ovpass.verification.device_list import list_devices
from ovpass.verification.question import CPU, Question

EVALUATED = 8
"""Windows of held-out text."""
_XML = "openvino_model.xml"
_WITH_MINIMA = ("Q2_K", "Q4_1", "Q4_K", "Q5_1", "Q5_K")
"""GGUF types whose blocks have a minimum. That is a float zero point, with which no plugin quantizes activations."""


@dataclass(frozen=True)
class Facts:
    """What is known of an OpenVINO model: None of one that is still to be converted. `weights` is their number.

    `planned` are the models with MatMuls for a plan; in floating point, all with a MatMul.
    """

    is_folder: bool = True
    compressed: bool | None = None
    predicts_tokens: bool | None = None
    weights: int = 0
    planned: tuple[IrFile, ...] = ()


def _has_minima(found: FoundSource) -> bool:
    """Whether the source is a GGUF file with float zero points."""
    from ovpass.conversion.gguf_file import open_gguf  # noqa: PLC0415 - imports NumPy

    return found.source is GGUF and any(kind in open_gguf(found.model).types for kind in _WITH_MINIMA)


def facts_of(model: Path) -> Facts:
    """Look at an OpenVINO model.

    Raises:
        ModelError: if it cannot be read.
    """
    source = open_source(model)
    documents = {ir: ir.document() for ir in source.models}
    found = {ir: find_sites_in_file(ir, document) for ir, document in documents.items()}
    sites = [site for of_model in found.values() for site in of_model]
    with_products = (ir for ir, document in documents.items() if "MatMul" in document.graph.types)
    predicts = len(source.models) == 1 and is_language_model(source.models[0].read())
    in_floats = sum(ir.bin.stat().st_size for ir in source.models) // 2
    weights = sum(site.n * site.k for site in sites) if sites else in_floats
    planned = tuple(ir for ir, of_model in found.items() if of_model) or tuple(with_products)
    return Facts(source.is_folder, bool(sites), predicts, weights, planned)


@dataclass(frozen=True)
class Outline:
    """The stages of a request for a model of which `facts` are known.

    `converted` tells that the source is no OpenVINO model, `exact` that its weights are dequantized: their own form
    would switch the quantization of activations off. `attempt` counts plans, from 1.
    """

    request: Request
    facts: Facts
    converted: bool
    exact: bool = False
    attempt: int = 1

    @property
    def original(self) -> Path:
        """The model before anything is compressed or rewritten."""
        return self._work / "converted" if self.converted else self.request.source

    @property
    def mode(self) -> str:
        """How floating-point weights are compressed.

        Raises:
            SettingsError: if they would take more memory than they may.
        """
        memory = self.request.memory
        if memory is None:
            return self.request.weights or DEFAULT_WEIGHTS
        return mode_within(parse_size(memory, "--memory"), self.facts.weights)

    @property
    def compressed(self) -> Path:
        """The model that is tuned."""
        return self.original if self.facts.compressed else self._place("compressed")

    @property
    def applied(self) -> Path:
        """The model that carries the plan."""
        return self._place(f"model{self._again}")

    @property
    def served(self) -> Path:
        """The model laid out for a server."""
        return self._work / "served"

    def __iter__(self) -> Iterator[Stage]:
        """All stages in order."""
        yield from (self.convert(), self.compress(), self.tune(), self.apply(), self.verify(), self.evaluate())
        if self.request.layout != FOLDER:
            yield self.layout()

    def estimates(self) -> list[Estimate]:
        """What each stage takes."""
        return [Estimate() if stage.left_out is not None else self._estimate(stage.command) for stage in self]

    def minutes_left(self) -> dict[str, float]:
        """By command the minutes that its stage and all after it take."""
        minutes = [one.minutes for one in self.estimates()]
        return {stage.command: sum(minutes[place:]) for place, stage in enumerate(self)}

    def estimate(self) -> Estimate:
        """What all stages take."""
        return total(self.estimates())

    def _estimate(self, command: str) -> Estimate:
        searched = 2 * self.request.windows * (1 if self.request.kv is None else WITH_CACHE)
        windows = {"tune": searched, "evaluate": EVALUATED}.get(command)
        tokens = 1 if windows is None else windows * self.request.window_tokens
        return estimate(command, self.facts.weights, tokens, self.mode if command == "compress" else None)

    def convert(self) -> Stage:
        """The source to an OpenVINO model."""
        if not self.converted:
            return Stage("convert", left_out="the source is an OpenVINO model")
        exact = ("--exact",) if self.exact else ()
        words = (str(self.request.source), "-o", str(self.original), *exact, "--overwrite")
        return Stage("convert", words, (self.original,))

    def compress(self) -> Stage:
        """Floating-point weights to integers."""
        if self.facts.compressed:
            return Stage("compress", left_out="the weights are compressed already")
        mode = self.mode
        fallback = () if MODES[mode].fixed_group else ("--group-size-fallback", "adjust")
        words = (str(self.original), "-o", str(self.compressed), "--mode", mode, *fallback, "--overwrite")
        condition = None if self.facts.compressed is False else "if the weights are in floating point"
        return Stage("compress", words, (self.compressed,), condition=condition)

    def tune(self) -> Stage:
        """The plan within the budget."""
        if self.facts.predicts_tokens is False:
            return Stage("tune", left_out="it needs a single language model; the target's default is applied")
        kv = () if self.request.kv is None else ("--kv", self.request.kv)
        words = (
            *(str(self.compressed), "--target", self.request.target, *self.request.budget, *kv),
            *("--windows", str(self.request.windows), "--window-tokens", str(self.request.window_tokens), *self._text),
            *("--state", str(self._work / "measurements"), "-o", str(self._plan), "--overwrite"),
            "--frontier",
        )
        return Stage("tune", words, (self._plan,), attempt=self.attempt)

    def apply(self) -> Stage:
        """The plan, or the target's default, to the model."""
        default = self.facts.predicts_tokens is False
        how = ("--target", self.request.target) if default else ("--plan", str(self._plan))
        words = (str(self.compressed), "-o", str(self.applied), *how, "--overwrite")
        return Stage("apply", words, (self.applied,), attempt=self.attempt)

    def verify(self) -> Stage:
        """What the plugin does, on the device or a simulated one."""
        try:
            asked = self.question()
        except NoDeviceError as error:
            return Stage("verify", left_out=str(error), attempt=self.attempt)
        target = find_name(self.request.target).target
        off = target.switched_off("f32", False) if asked.device == CPU else None
        if off is not None:
            return Stage("verify", left_out=off, attempt=self.attempt)
        how = ("--simulate", asked.simulate) if asked.simulate else ("--device", asked.target or asked.device)
        return Stage("verify", (str(self.applied), *how), attempt=self.attempt)

    def question(self) -> Question:
        """Which device is asked: that of the target if it is here, else a simulated one.

        Raises:
            NoDeviceError: if there is neither.
        """
        named = find_name(self.request.target)
        if named.target.device == CPU:
            return Question(CPU)
        here = list_devices()
        if any(device.partition(".")[0] == named.target.device for device in here.present):
            return Question(named.name)
        profile = get_profile(named.name)
        missing = next(entry.missing for entry in here.simulated if entry.profile == profile)
        if missing is not None:
            raise NoDeviceError(f"simulating {profile.name} needs {missing}; see 'ovpass devices'")
        return Question(simulate=profile.name)

    def evaluate(self) -> Stage:
        """The cost on text that tune has not seen."""
        if self.facts.predicts_tokens is False:
            return Stage("evaluate", left_out="it needs a single language model")
        seen = 2 * self.request.windows  # tune searches on one half, and checks on the other
        size = ("--windows", str(EVALUATED), "--window-tokens", str(self.request.window_tokens))
        words = (str(self.original), str(self.applied), *size, "--skip-windows", str(seen), *self._text)
        tasks = () if self.request.max_task_drop is None else ("--harness", ",".join(TASKS))
        return Stage("evaluate", (*words, *tasks), attempt=self.attempt)

    def layout(self) -> Stage:
        """The model as the server reads it, under the name of the source."""
        source = self.request.source.resolve()
        name = source.name if source.is_dir() else source.stem
        return Stage(
            "layout",
            (str(self.applied), "-o", str(self.served), "--name", name, "--overwrite"),
            (self.served,),
        )

    @property
    def _work(self) -> Path:
        return self.request.stages

    @property
    def _again(self) -> str:
        return "" if self.attempt == 1 else f"-{self.attempt}"

    @property
    def _plan(self) -> Path:
        return self._work / f"plan{self._again}.yaml"

    @property
    def _text(self) -> tuple[str, ...]:
        return () if self.request.text is None else ("--text", str(self.request.text))

    def _place(self, name: str) -> Path:
        folder = self._work / name
        return folder if self.facts.is_folder else folder / _XML


def outline_of(request: Request) -> Outline:
    """What is known before anything runs.

    Raises:
        ModelError: for a source that is no model.
        SettingsError: for one that takes more memory than it may.
    """
    if request.source.suffix == ".xml" or (request.source.is_dir() and holds_ir(request.source)):
        facts = facts_of(request.source)
        if facts.compressed and request.memory is not None:
            size = sum(ir.bin.stat().st_size for ir in open_source(request.source).models)
            check_memory(parse_size(request.memory, "--memory"), size)
        return Outline(request, facts, converted=False)
    found = find_source(request.source)
    exact = _has_minima(found)
    compressed, predicts = (False if exact else None), (True if found.source is GGUF else None)
    facts = Facts(compressed=compressed, predicts_tokens=predicts, weights=count_weights(found))
    return Outline(request, facts, converted=True, exact=exact)
