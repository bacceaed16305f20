r"""Paths from simple to complex: inverse scale spaces and their discretizations.

A sparse path is a penalty inside a fixed loop: the dual variable adds up gradients, and the
coefficients are what the penalty makes of it.
"""

from fedlearn_lib.inclusion.iss import Certificate, certificate, iss_path
from fedlearn_lib.inclusion.lbi import largest_step, lbi, lbi_path
from fedlearn_lib.inclusion.path import Path
from fedlearn_lib.inclusion.split import SplitState, split_lbi_lr, split_lbi_path, split_step
from fedlearn_lib.inclusion.stopping import (
    Curve,
    cross_validation,
    discrepancy_time,
    validation_curve,
)

__all__ = [
    "Certificate",
    "Curve",
    "Path",
    "SplitState",
    "certificate",
    "cross_validation",
    "discrepancy_time",
    "iss_path",
    "largest_step",
    "lbi",
    "lbi_path",
    "split_lbi_lr",
    "split_lbi_path",
    "split_step",
    "validation_curve",
]
