"""The cost of a site in work, bytes and time."""

from ovpass.targets.costs.calibration import (
    Calibration,
    Chosen,
    Constants,
    Shared,
    calibration_of_this_cpu,
    load_calibration,
)
from ovpass.targets.costs.model import default_variant, expected_ratio, product_time, quantization_time
from ovpass.targets.costs.work import Work, site_work, weight_bytes

__all__ = [
    "Calibration",
    "Chosen",
    "Constants",
    "Shared",
    "Work",
    "calibration_of_this_cpu",
    "default_variant",
    "expected_ratio",
    "load_calibration",
    "product_time",
    "quantization_time",
    "site_work",
    "weight_bytes",
]
