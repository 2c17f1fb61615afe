"""Convert models from other formats to OpenVINO IR."""

from ovpass.conversion.gguf import GGUF
from ovpass.conversion.hugging_face import HUGGING_FACE
from ovpass.conversion.onnx import ONNX
from ovpass.conversion.source import Source

SOURCES: dict[str, Source] = {"hugging-face": HUGGING_FACE, "gguf": GGUF, "onnx": ONNX}
"""In the order in which a folder is searched for them."""
