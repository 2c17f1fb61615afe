"""The command line. It contains no logic."""

from typing import NamedTuple


class Command(NamedTuple):
    """A command: its module, imported when the command runs, and its line in `ovpass --help`."""

    module: str
    summary: str


COMMANDS = {
    "optimize": Command("ovpass.optimization.command", "Do it all: convert, compress, tune, apply, verify, evaluate."),
    "inspect": Command(
        "ovpass.cli.inspect", "List MatMuls with compressed weights, and which of them a target quantizes."
    ),
    "plan": Command("ovpass.cli.plan", "Show the decision for every site, without changing the model."),
    "apply": Command("ovpass.cli.apply", "Rewrite a model with settings or a plan."),
    "strip": Command("ovpass.cli.strip", "Undo apply."),
    "convert": Command("ovpass.cli.convert", "Convert a GGUF, Hugging Face or ONNX model to OpenVINO IR."),
    "compress": Command("ovpass.cli.compress", "Compress floating-point weights."),
    "expand": Command("ovpass.cli.expand", "Write M-ANT weights as 8-bit integers, which plugins keep compressed."),
    "run": Command("ovpass.cli.run", "Generate text with a model folder, with the kernels that apply put in it."),
    "verify": Command("ovpass.cli.verify", "Check on a real or simulated device that the plugin follows the plan."),
    "devices": Command("ovpass.cli.devices", "List targets and simulated devices; install the driver for simulation."),
    "doctor": Command("ovpass.cli.doctor", "Show versions, extras and devices, and what to install."),
    "schema": Command("ovpass.cli.schema", "Print the JSON Schema of a command's --json output."),
    "explain": Command("ovpass.cli.explain", "Show the effective group size of each device, and where it comes from."),
    "evaluate": Command("ovpass.cli.evaluate", "Measure the accuracy cost of a setting."),
    "sensitivity": Command("ovpass.cli.sensitivity", "Rank sites by accuracy cost."),
    "bisect": Command("ovpass.cli.bisect", "Find the sites that break a model."),
    "tune": Command("ovpass.cli.tune", "Find the fastest plan within an accuracy budget."),
    "bench": Command("ovpass.cli.bench", "Benchmark time to first token, time per output token, latency and memory."),
    "layout": Command("ovpass.cli.layout", "Lay a model out for OpenVINO Model Server."),
    "report": Command("ovpass.cli.report", "Write an HTML report from saved results, or directly from a model."),
}
