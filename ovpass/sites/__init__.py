"""Sites: MatMuls with compressed weights, what they are for, and the activations they share."""

from ovpass.sites.find import CompressedMatMul, find_compressed_matmuls, find_sites
from ovpass.sites.kinds import KINDS

__all__ = ["KINDS", "CompressedMatMul", "find_compressed_matmuls", "find_sites"]
