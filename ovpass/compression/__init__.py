"""Floating-point weights to fewer bits."""
