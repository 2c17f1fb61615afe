"""The child process of a simulated GPU: `python -m ovpass.verification.child ORDERS ANSWERS`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import openvino as ov

from ovpass.ir.custom_op import new_core
from ovpass.verification.gpu import look
from ovpass.verification.observation import Order, observation_to_dict


def main() -> None:
    """Read orders as JSON, write answers as JSON; null where a device of them is not there, or no GPU at all."""
    orders = [Order(**entry) for entry in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))]
    core = new_core()
    usable = all(_usable(core, device) for device in {"GPU", *(order.device for order in orders)})
    answers = [observation_to_dict(look(order, core)) for order in orders] if usable else None
    Path(sys.argv[2]).write_text(json.dumps(answers), encoding="utf-8")


def _usable(core: ov.Core, device: str) -> bool:
    try:
        core.get_property(device, "FULL_DEVICE_NAME")
    except RuntimeError:
        return False
    return True


if __name__ == "__main__":
    main()
