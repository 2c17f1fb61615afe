"""Limits of what is read from files of strangers."""

LARGEST_FILE = 64 * 2**20
"""Bytes of a file of YAML or JSON."""

DEEPEST = 100
"""Lists and mappings in each other."""

LONGEST_NUMBER = 250
"""Characters of a number. An integer that is no longer fits a float, too, and can be printed."""
