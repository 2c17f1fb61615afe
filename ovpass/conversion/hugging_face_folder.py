"""Read and check a Hugging Face folder without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ovpass.conversion.safetensors_file import read_header
from ovpass.errors import ModelError, SettingsError
from ovpass.support.structured_text import MalformedError, parse_json, read_text

CONFIG, PIPELINE = "config.json", "model_index.json"
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TASKS = {
    "ForCausalLM": "text-generation-with-past",
    "LMHeadModel": "text-generation-with-past",
    "ForMaskedLM": "fill-mask",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForImageClassification": "image-classification",
    "ForAudioClassification": "audio-classification",
    "ForConditionalGeneration": "text2text-generation-with-past",
    "Model": "feature-extraction",
}
_TRANSLATORS = ("MarianMTModel",)
"""Classes whose names end like those of bare encoders."""
_SPEECH, _PICTURES = "automatic-speech-recognition-with-past", "image-text-to-text"


def models_in(folder: Path) -> list[Path]:
    """The folder itself, if it is a model or a pipeline; else nothing.

    Raises:
        ModelError: for weights without the configuration that says what model they are of.
    """
    weights = any(any(folder.glob(pattern)) for pattern in WEIGHTS)
    if (folder / PIPELINE).is_file() or (weights and (folder / CONFIG).is_file()):
        return [folder]
    if weights:
        raise ModelError(f"{folder}: has weights but no {CONFIG}, which describes the model; download it")
    return []


def read_config(folder: Path) -> dict[str, Any]:
    """config.json, or model_index.json of a pipeline.

    Raises:
        ModelError: if it cannot be read, or names no model.
    """
    path = folder / (CONFIG if (folder / CONFIG).is_file() else PIPELINE)
    config = _read_json(path)
    if path.name == CONFIG and not isinstance(config.get("model_type"), str):
        raise ModelError(f"{path}: has no model_type, which the export needs; download it again")
    return config


def check_weights(folder: Path) -> None:
    """Make sure that all files of weights are there, and whole as far as their headers tell.

    Raises:
        ModelError: naming the file.
    """
    for index in sorted(folder.rglob("*.index.json")):
        _check_parts(index)
    for path in sorted(folder.rglob("*.safetensors")):
        read_header(path)
    if not any(any(folder.rglob(pattern)) for pattern in WEIGHTS):
        raise ModelError(f"{folder}: has no weights ({' or '.join(WEIGHTS)})")


def _check_parts(index: Path) -> None:
    # Downloads often leave out the .bin files, but not their index; the exporters take safetensors first.
    if ".safetensors." not in index.name and any(index.parent.glob(WEIGHTS[0])):
        return
    parts = _read_json(index).get("weight_map", {})
    if not isinstance(parts, dict) or not all(isinstance(name, str) for name in parts.values()):
        raise ModelError(f"{index}: its weight_map does not say which file each tensor is in; download it again")
    if missing := sorted(name for name in set(parts.values()) if not (index.parent / name).is_file()):
        raise ModelError(f"{index}: names {missing[0]}, which is missing ({len(missing)} in total); download it")


def infer_task(config: Mapping[str, Any]) -> str:
    """The exporter's task, by the name of the model's class.

    Raises:
        SettingsError: if that tells nothing.
    """
    classes = config.get("architectures")
    name = str(classes[0]) if isinstance(classes, list) and classes else ""
    if name in _TRANSLATORS:
        return "text2text-generation-with-past"
    known = (task for ending, task in _TASKS.items() if name.endswith(ending))
    if (task := next(known, None)) is None:
        what = f"class {name}" if name else str(config.get("_class_name", "an unnamed class"))
        usual = "text-to-image" if "_class_name" in config else "text-generation-with-past"
        raise SettingsError(f"task: {what} does not define it; set it, as in --task {usual}")
    if name.endswith("ForConditionalGeneration"):
        if config.get("model_type") == "whisper":
            return _SPEECH
        if "vision_config" in config:
            return _PICTURES
    return task


def needs_remote_code(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether the folder brings Python code of its own; a name alone is left from where transformers got the model."""
    return bool(config.get("auto_map")) and any(folder.glob("*.py"))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_text(path))
    except MalformedError as error:
        raise ModelError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: is not a JSON object")
    return content
