"""What the server offers of a model file or folder: one language model, or each model by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ovpass.errors import ModelError
from ovpass.evaluation.feeding import is_language_model
from ovpass.evaluation.pipeline_folder import MODEL, require_tokenizers
from ovpass.ir.document import IrDocument
from ovpass.ir.files import IrFile, ModelSource
from ovpass.planning.recorded_plan import runs_kernels

_OF_PICTURES = {
    "openvino_language_model.xml",
    "openvino_text_embeddings_model.xml",
    "openvino_vision_embeddings_model.xml",
}
"""The models by which the server knows a language model that looks at pictures (src/llm/servable_initializer.cpp)."""
_UNFIT = re.compile(r"[^\w.-]+|\.(?=(json|yaml|html|md)$)", re.ASCII)
"""What a name in an address does without, and the ends of files that lie beside the folders of models."""


@dataclass(frozen=True)
class Servable:
    """A name that clients ask for. `generates`: it is a folder for text generation, and not the one model `ir`."""

    name: str
    generates: bool
    ir: IrFile | None = None


def default_name(source: ModelSource) -> str:
    """The name of a model file or folder."""
    root = source.root.resolve()
    return root.name if source.is_folder else root.stem


def find_servables(source: ModelSource, name: str) -> list[Servable]:
    """What to offer under `name`; several models of a folder that are no language model get a name each.

    Raises:
        ModelError: for a model that the server cannot run, and one that cannot be read.
    """
    fit = _fit(name)
    documents = {ir: ir.document() for ir in source.models}
    for ir, document in documents.items():
        if runs_kernels(document):
            raise ModelError(f"{ir.xml}: has kernels of ovpass, which the server does not load; use another lowering")
    if _generates(source):
        require_tokenizers(source.root, "serve a folder that has one")
        return [Servable(fit, generates=True)]
    for ir, document in documents.items():
        _refuse_state(ir, document)
    if len(source.models) == 1:
        return [Servable(fit, generates=False, ir=source.models[0])]
    return [Servable(f"{fit}-{_fit(ir.key.removesuffix('.xml'))}", generates=False, ir=ir) for ir in source.models]


def _fit(name: str) -> str:
    return _UNFIT.sub("-", name).strip("-.") or "model"


def _generates(source: ModelSource) -> bool:
    keys = {ir.key: ir for ir in source.models}
    if not source.is_folder:
        return False
    return keys.keys() >= _OF_PICTURES or (MODEL in keys and is_language_model(keys[MODEL].read()))


def _refuse_state(ir: IrFile, document: IrDocument) -> None:
    """A state would be left by one request for the next."""
    if "ReadValue" in document.graph.types:
        raise ModelError(
            f"{ir.xml}: keeps a state from request to request, which the server serves only in folders of language "
            f"models, with {MODEL} and tokenizers"
        )
