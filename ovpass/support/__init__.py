"""Helpers that have nothing to do with models: processes, lazy imports, extras, files, formatting."""
