"""Helpers that do not depend on models: processes, lazy imports, extras, files, formatting."""
