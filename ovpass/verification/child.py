"""The process in which a simulated GPU lives: `python -m ovpass.verification.child ORDERS ANSWERS`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import openvino as ov

from ovpass.verification.gpu import look
from ovpass.verification.observation import Order, seen_to_dict


def main() -> None:
    """Read orders as JSON, write answers as JSON; null where there is no GPU device."""
    orders = [Order(**entry) for entry in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))]
    core = ov.Core()
    usable = any(device.partition(".")[0] == "GPU" for device in core.available_devices)
    answers = [seen_to_dict(look(order, core)) for order in orders] if usable else None
    Path(sys.argv[2]).write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
