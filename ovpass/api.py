"""Public functions that change models, in memory and on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import openvino as ov

from ovpass.planning.plan import Plan
from ovpass.settings.settings import Settings
from ovpass.support.progress import Progress
from ovpass.transformation import transform as files
from ovpass.transformation.in_memory import apply, strip, transform_model
from ovpass.transformation.result import Transformed
from ovpass.transformation.transform import strip_source


def transform(
    source: Path | str | ov.Model,
    output: Path | str,
    settings: Settings | None = None,
    *,
    plans: Mapping[str, Plan] | Plan | None = None,
    overwrite: bool = False,
    copy_weights: bool = False,
    progress: Progress = lambda _: None,
) -> Transformed:
    """Apply settings, or finished plans, to an .xml, a model folder, or a model in memory, which becomes an .xml.

    The output has the source's form; files that are not changed are carried along, weights as hard links where the
    file system allows and `copy_weights` does not forbid it. Those of a model in memory are written as they are, none
    converted to f16.

    Raises:
        OvpassError: its children for a bad model, setting, plan or place; then nothing is written.
    """
    plans = {"": plans} if isinstance(plans, Plan) else plans
    if isinstance(source, (str, Path)):
        return files.transform(
            source, output, settings, plans=plans, overwrite=overwrite, copy_weights=copy_weights, progress=progress
        )
    return transform_model(source, Path(output), settings, plans, overwrite=overwrite, progress=progress)


__all__ = ["apply", "strip", "strip_source", "transform"]
