"""Write graph.pbtxt: the graph by which OpenVINO Model Server generates text.

Fields of the options are in model_server/src/llm/llm_calculator.proto, the streams that the calculator needs in
docs/llm/reference.md, both of 2026.4.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ovpass.version import __version__

FILE_NAME = "graph.pbtxt"

_GRAPH = """# Written by ovpass {version}. Text generation: /v3/chat/completions and /v3/completions.
input_stream: "HTTP_REQUEST_PAYLOAD:input"
output_stream: "HTTP_RESPONSE_PAYLOAD:output"
node {{
  name: "LLMExecutor"
  calculator: "HttpLLMCalculator"
  input_stream: "LOOPBACK:loopback"
  input_stream: "HTTP_REQUEST_PAYLOAD:input"
  input_side_packet: "LLM_NODE_RESOURCES:llm"
  output_stream: "LOOPBACK:loopback"
  output_stream: "HTTP_RESPONSE_PAYLOAD:output"
  input_stream_info {{ tag_index: "LOOPBACK:0" back_edge: true }}
  node_options {{
    [type.googleapis.com/mediapipe.LLMCalculatorOptions] {{
      models_path: "./"
      device: {device}
      plugin_config: {plugin_config}
      cache_size: {cache_size}  # GB of keys and values; 0: as much as requests need
    }}
  }}
  input_stream_handler {{
    input_stream_handler: "SyncSetInputStreamHandler"
    options {{
      [mediapipe.SyncSetInputStreamHandlerOptions.ext] {{ sync_set {{ tag_index: "LOOPBACK:0" }} }}
    }}
  }}
}}
"""


def graph_text(device: str, properties: Mapping[str, str], cache_size: int) -> str:
    """The graph of a language model in the folder of the graph. `cache_size` is in GB, 0 for one that grows."""
    plugin_config = json.dumps(dict(properties), sort_keys=True)
    return _GRAPH.format(
        version=__version__, device=_quoted(device), plugin_config=_quoted(plugin_config), cache_size=cache_size
    )


def _quoted(text: str) -> str:
    """A string of the text format, which has the escapes of JSON for all that is in names and numbers."""
    return json.dumps(text)
