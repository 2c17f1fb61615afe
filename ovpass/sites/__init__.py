"""Sites: MatMuls with compressed weights, their kinds, and the activations they share."""

from ovpass.sites.find import CompressedMatMul, Sites, find_compressed_matmuls, find_sites
from ovpass.sites.kinds import KINDS, kind_order

__all__ = ["KINDS", "CompressedMatMul", "Sites", "find_compressed_matmuls", "find_sites", "kind_order"]
