"""The verbs of `import ovpass`: each calls the function that the command of its name calls."""

from __future__ import annotations

from ovpass.support.lazy import lazy_exports

TYPE_CHECKING = False  # to import that of typing takes longer than all the rest of `import ovpass`
if TYPE_CHECKING:
    from ovpass.api.accuracy import evaluate, tune
    from ovpass.api.look import inspect, plan, verify
    from ovpass.api.page import Page, report
    from ovpass.api.production import compress, convert, optimize
    from ovpass.api.results import ByModel
    from ovpass.api.transformation import apply, strip, strip_source, transform

_HOMES = {
    "ByModel": "ovpass.api.results",
    "Page": "ovpass.api.page",
    "apply": "ovpass.api.transformation",
    "compress": "ovpass.api.production",
    "convert": "ovpass.api.production",
    "evaluate": "ovpass.api.accuracy",
    "inspect": "ovpass.api.look",
    "optimize": "ovpass.api.production",
    "plan": "ovpass.api.look",
    "report": "ovpass.api.page",
    "strip": "ovpass.api.transformation",
    "strip_source": "ovpass.api.transformation",
    "transform": "ovpass.api.transformation",
    "tune": "ovpass.api.accuracy",
    "verify": "ovpass.api.look",
}

__getattr__, __dir__ = lazy_exports(__name__, _HOMES)

__all__ = [
    "ByModel",
    "Page",
    "apply",
    "compress",
    "convert",
    "evaluate",
    "inspect",
    "optimize",
    "plan",
    "report",
    "strip",
    "strip_source",
    "transform",
    "tune",
    "verify",
]
