"""Compress floating-point weights."""
