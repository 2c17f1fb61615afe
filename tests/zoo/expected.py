"""Which command refuses which model of the zoo, and why: everything else works."""

from __future__ import annotations

from collections.abc import Mapping

from tests.cli.command import CommandLine
from tests.zoo.exports import NAMES

# Why a command refuses, in its own words.
SEVERAL = "holds several models"
NO_TEXT = "not input_ids"
NOT_TOLD = "has inputs encoder_hidden_states, which a text does not give"
NO_PREDICTIONS = "is not a language model"
FORMATS = "do not lower to int8"
COMPRESSED = "compressed weights already"
CONVERTED = "holds an OpenVINO model already"
UNCHANGED = "ovpass has not changed this model"
NO_TOKENIZER = "has no openvino_tokenizer.xml"
NAME_ONE = "name one by its .xml"
ONE_LENGTH = "have a fixed length"

FAMILIES = ("bart", "llava", "qwen2-vl", "sd3", "t5", "whisper")
"""Folders of several models that work on one another's output."""
DECODERS = tuple(f"{name}/openvino_decoder_model.xml" for name in ("bart", "t5", "whisper"))
ENCODERS = (
    "bart/openvino_encoder_model.xml",
    "bert/openvino_model.xml",
    "sd3/text_encoder/openvino_model.xml",
    "t5/openvino_encoder_model.xml",
)
FIXED = ("llava/openvino_vision_embeddings_model.xml", "whisper/openvino_encoder_model.xml")
"""They take pictures and sounds of one size only."""
NO_TOKENS = (*FIXED, "qwen2-vl/openvino_vision_embeddings_merger_model.xml", "sd3/transformer/openvino_model.xml")

_TEXT = {**dict.fromkeys(FAMILIES, SEVERAL), **dict.fromkeys(DECODERS, NOT_TOLD)}
_SEARCH = {**_TEXT, **dict.fromkeys((*ENCODERS, *NO_TOKENS), NO_PREDICTIONS)}

REFUSED: Mapping[str, Mapping[str, str]] = {
    "strip": dict.fromkeys(NAMES, UNCHANGED),
    "compress": dict.fromkeys(NAMES, COMPRESSED),
    "convert": dict.fromkeys(NAMES, CONVERTED),
    "apply": {name: FORMATS for name in NAMES if name != "bert"},  # to int8 without --requantize
    "evaluate": {**_TEXT, **dict.fromkeys(NO_TOKENS, NO_TEXT)},
    "sensitivity": _SEARCH,
    "bisect": _SEARCH,
    "tune": _SEARCH,
    "bench": {
        **{name: NO_TOKENIZER for name in NAMES if name != "bert"},  # as GenAI wants one to generate text
        **dict.fromkeys(FAMILIES, NAME_ONE),
        **dict.fromkeys(FIXED, ONE_LENGTH),
    },
}
"""The words of the refusal, by command and by folder or .xml."""

ON_GPU: Mapping[str, str] = {"mixtral": "does not compile on GPU"}
"""What the plugin does not take, in the words of verify."""


def refused(ovpass: CommandLine, key: str, command: str, *args: object) -> bool:
    """Whether the table has the command refuse this model; then it must, in one line that says what the table says."""
    words = REFUSED[command].get(key)
    if words is not None:
        assert words in ovpass.refuse(command, *args)
    return words is not None
