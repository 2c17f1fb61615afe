"""Calibration data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ovpass.errors import ModelError, SettingsError
from ovpass.support.formatting import last_line

if TYPE_CHECKING:
    import openvino as ov

    from ovpass.evaluation.windows import Window

IDS, _TYPES = "input_ids", "token_type_ids"
_FEW_IDS = 64
_HELD_OUT_TOKENS, _FEWEST_HELD_OUT = 2**15, 2
"""Of the text that calibration does not see: as many tokens as there are, and windows at least."""

Ids = npt.NDArray[np.int64]
Inputs = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Calibration:
    """Calibration text: `samples` pieces of `tokens` tokens each.

    `text` None is the shipped text. `tokenizer` None is the model's own folder.
    """

    text: Path | None = None
    tokenizer: Path | None = None
    samples: int = 32
    tokens: int = 128

    def __post_init__(self) -> None:
        if self.samples < 1 or self.tokens < 2:
            raise SettingsError(f"{self.samples} samples of {self.tokens} tokens: use 1 or more, of at least 2 tokens")

    def check_enough(self, fitted: int) -> None:
        """Check that there are at least `fitted` tokens, the number of weights that share a scale.

        Raises:
            SettingsError: if there are fewer tokens, because many scales fit them equally well.
        """
        tokens = self.samples * self.tokens
        if tokens < fitted:
            raise SettingsError(
                f"samples: {self.samples} of {self.tokens} tokens are too few for calibration; use {fitted} tokens or "
                "more in total, one for each of the weights that share a scale"
            )

    def read(self, folder: Path, *, held_out: bool = False) -> Text:
        """Return the samples and, if asked for, what is held out. `folder` is the model's folder.

        Raises:
            TextError: if the folder has no tokenizer, or the text is unreadable or too short.
        """
        from ovpass.evaluation.corpus import read_text  # noqa: PLC0415
        from ovpass.evaluation.options import LANGUAGE_MODEL, WindowOptions  # noqa: PLC0415 - needed for a text only
        from ovpass.evaluation.tokenizer import load_tokenizer  # noqa: PLC0415
        from ovpass.evaluation.windows import make_windows  # noqa: PLC0415

        # What models are evaluated on by default is not what they are fitted to.
        evaluated = LANGUAGE_MODEL.count * LANGUAGE_MODEL.tokens
        skip = 0 if self.text else -(-evaluated // self.tokens)
        text, tokenizer = read_text(self.text), load_tokenizer(self.tokenizer or folder)
        samples = make_windows(text, tokenizer, WindowOptions(self.samples, self.tokens, skip=skip))
        windows = []
        if held_out:
            most = max(_FEWEST_HELD_OUT, _HELD_OUT_TOKENS // self.tokens)
            options = WindowOptions(most, self.tokens, skip=skip + self.samples)
            windows = make_windows(text, tokenizer, options, least=_FEWEST_HELD_OUT)
        return Text([window.ids for window in samples], windows)


@dataclass(frozen=True)
class Text:
    """Token ids [tokens] of calibration samples, and windows of the same text that are held out from calibration."""

    samples: Sequence[Ids] = ()
    held_out: Sequence[Window] = ()


def check_runs(model: ov.Model, xml: Path, sample: Inputs) -> None:
    """Make sure that the model can be run on samples like this one, which every method does that looks at activations.

    Raises:
        ModelError: if it cannot, as on more tokens than it has positions for.
    """
    import openvino as ov  # noqa: PLC0415

    try:
        ov.Core().compile_model(model, "CPU").create_infer_request().infer(dict(sample))
    except Exception as error:  # OpenVINO has no class of its own for what it cannot run
        tokens = sample[IDS].shape[1]
        raise ModelError(
            f"{xml}: cannot be run on a sample of {tokens} tokens: {last_line(error)}; use a shorter --sequence-length "
            "if the model has fewer positions"
        ) from error


def model_inputs(model: ov.Model, xml: Path, sample: Ids) -> Inputs:
    """All inputs of the model for one sequence, the caches empty.

    Raises:
        ModelError: for a model that does not read token ids, or reads sequences of another length only.
    """
    from ovpass.verification.inputs import input_specs, make_inputs  # noqa: PLC0415 - brings OpenVINO along

    inputs = dict(make_inputs(input_specs(model), len(sample)))
    if IDS not in inputs:
        raise ModelError(
            f"{xml}: has no input {IDS}, so it takes no text; compress it without "
            "calibration (no --text, --smooth, --scale-estimation, --gptq or --lora-correction)"
        )
    if inputs[IDS].shape != (1, len(sample)):
        raise ModelError(f"{xml}: {IDS} has shape {list(inputs[IDS].shape)}; set that length with --sequence-length")
    inputs[IDS] = sample[np.newaxis].astype(inputs[IDS].dtype)
    if _TYPES in inputs:
        inputs[_TYPES] = np.zeros_like(inputs[_TYPES])
    return inputs


def random_inputs(model: ov.Model, xml: Path, samples: int = 8, tokens: int = 64) -> list[Inputs]:
    """Inputs of random token ids, for methods that need to know how loud channels are; none for a model without text.

    How loud they are depends on the model more than on the text: it is told by random ids nearly as well.
    """
    words, ids = _vocabulary(model), np.random.default_rng(0)
    try:
        found = [model_inputs(model, xml, ids.integers(0, words, tokens, np.int64)) for _ in range(samples)]
        check_runs(model, xml, found[0])
    except ModelError:
        return []
    return found


def _vocabulary(model: ov.Model) -> int:
    """How many token ids there are, by the table in which they are looked up; without one a few that any model has."""
    queue = [port for given in model.inputs if IDS in given.get_names() for port in given.get_target_inputs()]
    for port in queue:
        node = port.get_node()
        if node.get_type_name() == "Convert":
            queue += node.output(0).get_target_inputs()
        elif (
            node.get_type_name() == "Gather"
            and port.get_index() == 1
            and node.input_value(0).get_partial_shape()[0].is_static
        ):
            return int(node.input_value(0).get_partial_shape()[0].get_length())
    return _FEW_IDS
