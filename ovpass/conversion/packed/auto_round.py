"""AutoRound.

Its own packing and that of `auto_gptq` are GPTQ's: its own stores zero points as they are, `auto_gptq` minus 1.
`auto_awq` is AWQ's. Layers can have bits of their own (`extra_config`). (auto_round/export/export_to_autoround)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ovpass.conversion.packed.gptq import PARTS, read_awq, read_gptq
from ovpass.conversion.packed.layer import PackedLayer, Unpacker
from ovpass.conversion.packed.tensors import Tensors
from ovpass.errors import ModelError

_LESS = {"auto_round": 0, "auto_round:auto_gptq": 1, "auto_round:gptqmodel": 1, "auto_gptq": 1}
"""What is taken off stored zero points."""
_AWQ = ("auto_round:auto_awq", "auto_awq")


def open_auto_round(config: Mapping[str, Any], tensors: Tensors) -> Unpacker:
    """`packing_format` of GPTQ's form with 2, 4 and 8 bits, and AWQ's with 4."""
    form, extra = str(config.get("packing_format", "auto_round")), config.get("extra_config") or {}
    if form not in (*_LESS, *_AWQ):
        raise ModelError(
            f"quantization_config: packing_format {form!r} of auto-round is not known, only "
            f"{', '.join((*_LESS, *_AWQ))}"
        )
    if config.get("data_type", "int") != "int":
        raise ModelError(
            f"quantization_config: auto-round with data_type {config['data_type']!r} is not known, only int"
        )

    def unpack(name: str) -> PackedLayer:
        bits = _bits(config, extra, name)
        if bits not in ((4,) if form in _AWQ else (2, 4, 8)):
            raise ModelError(f"quantization_config: {name} has {bits} bits, which cannot be converted as {form}")
        return read_awq(tensors, name) if form in _AWQ else read_gptq(tensors, name, bits, less=_LESS[form])

    return Unpacker(PARTS[:1], PARTS, unpack)


def _bits(config: Mapping[str, Any], extra: Mapping[str, Any], name: str) -> int:
    patterns = (value for key, value in extra.items() if re.fullmatch(key, name))
    own: Mapping[str, Any] = extra.get(name) or next(patterns, {})
    return int(own.get("bits", config.get("bits", 4)))
