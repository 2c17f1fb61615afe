"""The command line; no logic lives here."""

from typing import NamedTuple


class Command(NamedTuple):
    """A command: the module whose `command` is called, imported only then, and a line for the list of commands."""

    module: str
    summary: str


COMMANDS = {
    "inspect": Command(
        "ovpass.cli.inspect", "Show every MatMul with compressed weights, and whether a target would quantize it."
    ),
    "plan": Command("ovpass.cli.plan", "Decide what happens to each of them, and why."),
    "apply": Command("ovpass.cli.apply", "Rewrite a model by settings or by a plan."),
    "strip": Command("ovpass.cli.strip", "Undo apply."),
    "convert": Command("ovpass.cli.convert", "Make an OpenVINO model of a GGUF, Hugging Face or ONNX one."),
    "compress": Command("ovpass.cli.compress", "Compress weights that are in floating point, by NNCF."),
    "verify": Command("ovpass.cli.verify", "Ask the plugin, with or without a GPU, whether it did what was planned."),
    "explain": Command("ovpass.cli.explain", "Show which group size each device would really use, and why."),
    "evaluate": Command("ovpass.cli.evaluate", "Measure what a setting costs in accuracy."),
    "sensitivity": Command("ovpass.cli.sensitivity", "Rank sites by what quantizing each of them costs."),
    "bisect": Command("ovpass.cli.bisect", "Find the sites that break a model."),
    "tune": Command("ovpass.cli.tune", "Find the fastest plan within a budget of accuracy."),
    "bench": Command(
        "ovpass.cli.bench", "Measure what users feel: time to first token, time per token, latency, memory."
    ),
    "report": Command("ovpass.cli.report", "Make one page to look at of runs or of a model."),
}
