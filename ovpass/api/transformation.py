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
    allow_crash: bool = False,
    progress: Progress = lambda _: None,
) -> Transformed:
    """Apply settings or plans to an .xml, a model folder, or a model in memory, and write the result.

    The output has the form of the source; a model in memory becomes an .xml. Unchanged files are carried along.
    Unchanged weights are hard-linked if the file system allows it, unless `copy_weights` is set. The weights of a model
    in memory are written without conversion to f16. With `allow_crash`, sites that are known to end the plugin's
    process are written all the same.

    Raises:
        OvpassError: a subclass, for an invalid model, setting, plan or path. Then nothing is written.
    """
    plans = {"": plans} if isinstance(plans, Plan) else plans
    if isinstance(source, (str, Path)):
        return files.transform(
            source,
            output,
            settings,
            plans=plans,
            overwrite=overwrite,
            copy_weights=copy_weights,
            allow_crash=allow_crash,
            progress=progress,
        )
    return transform_model(
        source, Path(output), settings, plans, overwrite=overwrite, allow_crash=allow_crash, progress=progress
    )


__all__ = ["apply", "strip", "strip_source", "transform"]
