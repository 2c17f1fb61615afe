"""Read execution graphs: what `benchmark_app -exec_graph_path` and a serialized `get_runtime_model()` write.

They need no GPU to be read, so a graph from another machine tells what its plugin did there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ovpass.errors import LogError
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.verification.observation import ObservedMatMul
from ovpass.verification.original_names import Readers, last_group, originals, without_lowering

_GPU_GRAPH = "runtime_gpu_graph"
_PRODUCTS = ("FullyConnected", "MatMul", "Gemm")
_HOW = "write one with 'benchmark_app -exec_graph_path FILE' (docs/execution-graph.md)"


@dataclass(frozen=True)
class Product:
    """A FullyConnected or MatMul of an execution graph, as the plugin names it.

    `originals` are the names of the model's own layers, `activation_type` the type of the first input, `kernel` the
    plugin's name of what runs it, "undef" until the model has run. `group_size` is None without a DynamicQuantize
    before it, `quantizer` the name of that.
    """

    name: str
    kind: str
    originals: tuple[str, ...]
    activation_type: str
    kernel: str
    group_size: int | None = None
    quantizer: str | None = None


@dataclass(frozen=True)
class ExecutionGraph:
    """The products of an execution graph, and the plugin that wrote it: GPU or CPU."""

    path: Path
    device: str
    products: tuple[Product, ...]

    @property
    def quantizers(self) -> int:
        """How many DynamicQuantize nodes products read."""
        return len({product.quantizer for product in self.products} - {None})

    @property
    def shows_quantization(self) -> bool:
        """Whether it is of a plugin that quantizes by an op of its own; without XMX its kernels do, as on the CPU."""
        kernels = [product.kernel for product in self.products if product.kind == "FullyConnected"]
        in_kernel = bool(kernels) and all(kernel.startswith("fully_connected_gpu_bf_tiled") for kernel in kernels)
        return self.device == "GPU" and (self.quantizers > 0 or not in_kernel)

    def matmuls(self, readers: Readers) -> list[ObservedMatMul]:
        """The products by the names of the model that was compiled, as a runtime model shows them."""
        return [
            ObservedMatMul(
                product.kind,
                tuple(dict.fromkeys(name for text in product.originals for name in originals(text, readers))),
                product.activation_type,
                product.group_size,
                product.quantizer,
                product.kernel,
            )
            for product in self.products
        ]

    def int8_products(self) -> dict[str, int | None]:
        """PER_TOKEN for each product of int8 by int8 on the CPU, by the model's own names; None for the others."""
        found: dict[str, int | None] = {}
        for product in self.products:
            int8 = product.activation_type == "i8" and product.kernel.endswith("_i8")
            names = [without_lowering(name) for name in product.originals]
            found.update(dict.fromkeys(names, PER_TOKEN if int8 else None))
        return found


def read_execution_graph(path: Path) -> ExecutionGraph:
    """Read an execution graph of either plugin.

    Raises:
        LogError: if the file cannot be read, is cut short, or is something else.
    """
    try:
        net = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError) as error:
        raise LogError(f"{path}: is not a whole execution graph: {error}; {_HOW}") from error
    layers = net.findall("layers/layer")
    if net.tag != "net" or not any("execOrder" in _data(layer) for layer in layers):
        raise LogError(f"{path}: is no execution graph; {_HOW}")
    try:
        products = tuple(_products(net, {layer.attrib["id"]: layer for layer in layers}))
    except (KeyError, ValueError) as error:
        raise LogError(f"{path}: is not a whole execution graph: {error!r} is missing or wrong; {_HOW}") from error
    return ExecutionGraph(path, "GPU" if net.get("name") == _GPU_GRAPH else "CPU", products)


def _products(net: Element, layers: Mapping[str, Element]) -> list[Product]:
    source = {
        (edge.attrib["to-layer"], edge.attrib["to-port"]): edge.attrib["from-layer"]
        for edge in net.iterfind("edges/edge")
    }
    return [_product(layers, source, layer) for layer in layers.values() if layer.get("type") in _PRODUCTS]


def _product(layers: Mapping[str, Element], source: Mapping[tuple[str, str], str], layer: Element) -> Product:
    data, port = _data(layer), layer.find("input/port")
    if port is None:
        raise ValueError(f"the input of {layer.get('name')}")
    before = layers[source[layer.attrib["id"], port.attrib["id"]]]
    quantized = before.get("type") == "DynamicQuantize"
    return Product(
        name=layer.attrib["name"],
        kind=layer.attrib["type"],
        originals=tuple(data["originalLayersNames"].split(",")),
        activation_type=port.attrib["precision"].lower(),
        kernel=data.get("primitiveType", ""),
        group_size=last_group(_data(before)["group_sizes"]) if quantized else None,
        quantizer=before.attrib["name"] if quantized else None,
    )


def _data(layer: Element) -> Mapping[str, str]:
    found = layer.find("data")
    return {} if found is None else found.attrib
