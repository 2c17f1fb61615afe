"""The names of lowerings that settings accept."""

LOWERINGS = {
    "native": "ovpass.lowerings.native",
    "int8": "ovpass.lowerings.int8",
    "emulate": "ovpass.lowerings.emulate",
    "kernel": "ovpass.lowerings.kernel",
}
"""By name the module whose `LOWERING` plans it and lists its passes; it is imported when a plan needs it."""
