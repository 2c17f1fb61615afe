"""A model as a chain of models, one a segment, that hand tensors on to each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import openvino as ov
from openvino import opset13 as op

from ovpass.evaluation.cuts import Cut
from ovpass.evaluation.feeding import LOGITS
from ovpass.ir.graph import Output
from ovpass.sites import CompressedMatMul


@dataclass(frozen=True)
class Segment:
    """One model of the chain.

    Its inputs in order: `fed` are names of the whole model's own inputs, `received` outputs of segments before. Its
    outputs in order: `sent`, then the whole model's own, of which number `logits` are the predictions; None if they
    are none of this segment's. `whole` is what was cut: OpenVINO maps its weights as long as it is there.
    """

    model: ov.Model
    sites: Sequence[CompressedMatMul]
    fed: tuple[str, ...]
    received: tuple[Output, ...]
    sent: tuple[Output, ...]
    logits: int | None
    whole: ov.Model


@dataclass
class _Ends:
    """What a segment reads and gives, collected op by op."""

    received: dict[Output, ov.Node] = field(default_factory=dict)
    results: list[ov.Node] = field(default_factory=list)
    sinks: list[ov.Node] = field(default_factory=list)


def cut_model(model: ov.Model, cut: Cut, sites: Sequence[CompressedMatMul]) -> list[Segment]:
    """Cut a model in place: its ops become those of the segments, and it is no longer of use itself.

    `sites` are of `model`; each segment names its own.
    """
    ends = [_Ends() for _ in range(cut.count)]
    for index in range(len(cut.graph.types)):
        segment = cut.segment[index]
        if segment is not None:
            _detach(cut, index, ends[segment])
    sent: dict[int, list[Output]] = defaultdict(list)
    for source in cut.crossing():
        sent[cut.segment[source[0]] or 0].append(source)
    logits = next((port.get_node() for port in model.outputs if LOGITS in port.get_names()), None)
    name = None if logits is None else logits.get_name()
    return [_segment(model, cut, number, ends[number], sent[number], sites, name) for number in range(cut.count)]


def _detach(cut: Cut, index: int, ends: _Ends) -> None:
    """Let an op read Parameters of its own segment where it reads from another one."""
    node, kind = cut.graph.node(index), cut.graph.types[index]
    if kind == "Result":
        ends.results.append(node)
    elif kind == "Assign":
        ends.sinks.append(node)
    for port, source in enumerate(cut.graph.inputs[index]):
        if cut.segment[source[0]] not in (None, cut.segment[index]):
            if source not in ends.received:
                output = cut.graph.node(source[0]).output(source[1])
                ends.received[source] = op.parameter(output.get_partial_shape(), output.get_element_type().to_dtype())
            node.input(port).replace_source_output(ends.received[source].output(0))


def _segment(
    whole: ov.Model,
    cut: Cut,
    number: int,
    ends: _Ends,
    sent: Sequence[Output],
    sites: Sequence[CompressedMatMul],
    logits: str | None,
) -> Segment:
    graph = cut.graph
    fed = [graph.node(index) for index in cut.inputs(number)]
    results = [op.result(graph.node(source[0]).output(source[1])) for source in sent]
    names = [node.get_name() for node in ends.results]
    return Segment(
        ov.Model([*results, *ends.results], ends.sinks, [*fed, *ends.received.values()], f"segment {number}"),
        [site for site in sites if cut.segment[site.index] == number],
        tuple(node.output(0).get_any_name() for node in fed),
        tuple(ends.received),
        tuple(sent),
        len(sent) + names.index(logits) if logits in names else None,
        whole,
    )
