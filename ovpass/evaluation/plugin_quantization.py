"""Whether the plugin at hand quantizes activations at all, told before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from ovpass.errors import SettingsError
from ovpass.ir.files import IrFile, ModelSource
from ovpass.ir.runtime_options import GROUP_SIZE
from ovpass.planning.explain import explain, targets_of
from ovpass.targets.base import Target
from ovpass.transformation.loading import load

_PRECISION = "INFERENCE_PRECISION_HINT"


def check_quantizes(ir: IrFile, properties: Mapping[str, str], device: str, label: str) -> None:
    """Refuse a group size with which the plugin of `device` quantizes nothing in the model.

    Raises:
        SettingsError: naming the candidate and why.
    """
    if properties.get(GROUP_SIZE, "0") == "0":
        return
    (loaded,) = load(ModelSource(ir.xml, (ir,)))
    metadata = ir.document().metadata
    told = [explain(metadata, loaded.sites, target, properties) for target in targets_of(device.partition(".")[0])]
    if not any(explanation.quantized for explanation in told):
        reason = told[0].outcomes[0].reason if told[0].outcomes else "no MatMul has compressed weights"
        raise SettingsError(
            f"{label}: the plugin quantizes nothing: {reason}; "
            "use other settings, or emulate with group_size=... and profile=..."
        )


def quantizes_here(target: Target, device: str, properties: Mapping[str, str]) -> bool:
    """Whether `device` is one of the target's, and can quantize with these properties on this machine."""
    off = target.switched_off(properties.get(_PRECISION, "").lower(), False)
    return target.device == device.partition(".")[0] and off is None
