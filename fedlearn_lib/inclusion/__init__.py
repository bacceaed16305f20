r"""Paths from simple to complex: inverse scale spaces and their discretizations.

A sparse path is a penalty inside a fixed loop: the dual variable adds up gradients, and the
coefficients are what the penalty makes of it.
"""

from fedlearn_lib.inclusion.iss import Certificate, certificate, iss_path
from fedlearn_lib.inclusion.lbi import largest_step, lbi, lbi_path
from fedlearn_lib.inclusion.path import Path

__all__ = [
    "Certificate",
    "Path",
    "certificate",
    "iss_path",
    "largest_step",
    "lbi",
    "lbi_path",
]
