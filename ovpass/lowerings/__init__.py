"""Lowerings: the ways to implement dynamic quantization, one module each."""

from ovpass.lowerings.base import Evidence, Lowering, evidence_of, get_lowering

__all__ = ["Evidence", "Lowering", "evidence_of", "get_lowering"]
