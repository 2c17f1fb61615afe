"""Lowerings: the ways to implement dynamic quantization, one module each."""

from ovpass.lowerings.base import Evidence, Lowering, get_lowering

__all__ = ["Evidence", "Lowering", "get_lowering"]
