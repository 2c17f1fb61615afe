"""Integrations with other pipelines."""
