"""The command line. It contains no logic."""
