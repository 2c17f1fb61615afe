"""The version of ovpass. The package metadata reads it from here."""

__version__ = "0.1.0"

JSON_FORMAT = 1
"""Of what commands print as JSON: raised when keys that others read change or go."""
