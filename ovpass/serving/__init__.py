"""Lay models out for OpenVINO Model Server."""
