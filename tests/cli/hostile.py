"""A model whose folder, layers and plan have names that shells, terminals and browsers would act on."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.sax.saxutils import escape

from tests.cli.command import LLAMA

FOLDER = "$(touch pwned) `touch pwned`; touch pwned #'\"\u202e\x1b[31m\n<script>alert(1)</script>"
SITES = {
    "__module.lm_head/aten::linear/MatMul": "$(touch pwned)`touch pwned`",
    "__module.model.layers.0.mlp.up_proj/aten::linear/MatMul": "'; touch pwned; '\ntouch pwned\n",
    "__module.model.layers.0.mlp.gate_proj/aten::linear/MatMul": '"; touch pwned; "\t!!python/object:os.system',
    "__module.model.layers.0.mlp.down_proj/aten::linear/MatMul": "</script><script>alert(1)</script>",
    "__module.model.layers.1.mlp.down_proj/aten::linear/MatMul": "\x9b31m\x85\u202e\u2066{model}",
}
"""Names of layers by those that they replace; XML 1.0 has no other control characters."""


def hostile_model(folder: Path) -> Path:
    """A model folder of that name in `folder`."""
    place = Path(shutil.copytree(LLAMA, folder / FOLDER.replace("/", "\N{FRACTION SLASH}")))
    xml = place / "openvino_model.xml"
    text = xml.read_text(encoding="utf-8")
    for name, hostile in SITES.items():
        quoted = escape(hostile, {'"': "&quot;", "\n": "&#10;", "\t": "&#9;"})
        assert text.count(f'name="{name}"') == 1
        text = text.replace(f'name="{name}"', f'name="{quoted}"')
    xml.write_text(text, encoding="utf-8")
    return place
