"""Sites: MatMuls with compressed weights, their kinds, and the activations they share."""

from ovpass.sites.find import CompressedMatMul, find_compressed_matmuls, find_sites
from ovpass.sites.kinds import KINDS

__all__ = ["KINDS", "CompressedMatMul", "find_compressed_matmuls", "find_sites"]
