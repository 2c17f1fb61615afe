"""What OpenVINO's converter and NNCF tell over the network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

RECORD_EVENTS = """
import json, os, sys
from openvino_telemetry.main import Telemetry
sent = []
Telemetry.send_event = lambda self, *_, **__: sent.append(self.consent)
from {module} import {function}
{function}(*sys.argv[1:])
print(json.dumps([sent, "CI" in os.environ]))
"""


def consents(module: str, function: str, *args: object) -> list[bool]:
    """Call a function that converts; for each event of it whether there is consent to send it.

    This takes a process of its own: consent is asked once a process, and NNCF keeps silent under pytest.
    """
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    code = RECORD_EVENTS.format(module=module, function=function)
    command = [sys.executable, "-c", code, *map(str, args)]
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment | path, capture_output=True, text=True, check=True)
    sent, left_behind = json.loads(done.stdout.splitlines()[-1])
    assert not left_behind
    return [bool(consent) for consent in sent]
