"""The messages of graph.pbtxt, so that protobuf itself reads its text.

Names, numbers and types are those of mediapipe/framework/{calculator,stream_handler}.proto, of
stream_handler/sync_set_input_stream_handler.proto, and of model_server/src/llm/llm_calculator.proto (2026.4); what no
graph of ours could hold is left out.
"""

from __future__ import annotations

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message

_F = descriptor_pb2.FieldDescriptorProto
_TYPES = {"string": _F.TYPE_STRING, "uint64": _F.TYPE_UINT64, "uint32": _F.TYPE_UINT32, "bool": _F.TYPE_BOOL}
_LABELS = {"": _F.LABEL_OPTIONAL, "required": _F.LABEL_REQUIRED, "repeated": _F.LABEL_REPEATED}
_PACKAGE = "mediapipe"

# Each field: [label] type name = number
_MESSAGES = {
    "InputStreamInfo": "string tag_index = 1; bool back_edge = 2",
    "MediaPipeOptions": "",
    "InputStreamHandlerConfig": "string input_stream_handler = 1; .mediapipe.MediaPipeOptions options = 3",
    "SyncSet": "repeated string tag_index = 1",
    "SyncSetInputStreamHandlerOptions": "repeated .mediapipe.SyncSet sync_set = 1",
    "Node": """string name = 1; string calculator = 2; repeated string input_stream = 3;
        repeated string output_stream = 4; repeated string input_side_packet = 5;
        repeated .google.protobuf.Any node_options = 8;
        repeated .mediapipe.InputStreamInfo input_stream_info = 13;
        .mediapipe.InputStreamHandlerConfig input_stream_handler = 11""",
    "CalculatorGraphConfig": """repeated .mediapipe.Node node = 1; repeated string input_stream = 10;
        repeated string output_stream = 15""",
    "LLMCalculatorOptions": """required string models_path = 1; uint64 max_num_batched_tokens = 2;
        uint64 cache_size = 3; uint64 max_num_seqs = 4; bool dynamic_split_fuse = 5; string device = 6;
        string plugin_config = 7;
        uint32 best_of_limit = 8; uint32 max_tokens_limit = 9; bool enable_prefix_caching = 10""",
}
_EXTENDED, _EXTENSION = "MediaPipeOptions", "SyncSetInputStreamHandlerOptions"
_NUMBER = 155816273


def read_graph(text: str) -> tuple[Message, Message]:
    """The graph, and the options of its one node.

    Raises:
        ParseError: if the text breaks the grammar, has an unknown field, or lacks a required one.
    """
    pool = descriptor_pool.DescriptorPool()
    _add_any(pool)
    pool.Add(_file())
    kinds = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }
    graph = text_format.Parse(text, kinds["CalculatorGraphConfig"](), descriptor_pool=pool)
    options = kinds["LLMCalculatorOptions"]()
    (packed,) = graph.node[0].node_options
    options.ParseFromString(packed.value)
    return graph, options


def _add_any(pool: descriptor_pool.DescriptorPool) -> None:
    known = descriptor_pb2.FileDescriptorProto()
    any_pb2.DESCRIPTOR.CopyToProto(known)
    pool.Add(known)


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="graph.proto", package=_PACKAGE, syntax="proto2", dependency=["google/protobuf/any.proto"]
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        message.field.extend(_field(written) for written in fields.split(";") if written.strip())
        if name == _EXTENDED:
            message.extension_range.add(start=1, end=1 << 29)
        if name == _EXTENSION:
            message.extension.add(
                name="ext",
                number=_NUMBER,
                label=_F.LABEL_OPTIONAL,
                type=_F.TYPE_MESSAGE,
                type_name=f".{_PACKAGE}.{_EXTENSION}",
                extendee=f".{_PACKAGE}.{_EXTENDED}",
            )
    return file


def _field(written: str) -> descriptor_pb2.FieldDescriptorProto:
    declared, number = written.split("=")
    *label, kind, name = declared.split()
    field = _F(name=name, number=int(number), label=_LABELS["".join(label)])
    if kind in _TYPES:
        field.type = _TYPES[kind]
    else:
        field.type, field.type_name = _F.TYPE_MESSAGE, kind
    return field
