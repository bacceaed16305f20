r"""Paths from simple to complex: a penalty inside a fixed loop.

The dual variable adds up gradients, and the coefficients are what the penalty makes of it. Where
to look:

- what every path is, and how it is read: ``path.py``; when to stop on it: ``stopping.py``
- how a penalty is added, and the two thresholds: ``penalties.py``
- the exact path, knot by knot: ``iss.py``; where a coefficient enters or leaves it:
  ``signed_fit.py``; the proof that it is one: ``certificate.py``
- linearized Bregman iterations: ``lbi.py``; fast, for the squared loss: ``lbi_squared.py``; how
  long a step may be: ``curvature.py``
- the split, in pure functions: ``split.py``; what it is made of: ``parts.py``
- the split, as an optimizer of networks: ``optim.py``; which parameters get which penalty:
  ``groups.py``; what will enter, and when: ``forecast.py``; its path written down: ``recorder.py``
"""

from fedlearn_lib.sparse.certificate import Certificate, certificate
from fedlearn_lib.sparse.curvature import largest_curvature
from fedlearn_lib.sparse.forecast import Forecast, entry_forecast
from fedlearn_lib.sparse.groups import penalty_groups
from fedlearn_lib.sparse.iss import iss_path
from fedlearn_lib.sparse.lbi import lbi, lbi_max_lr, lbi_path
from fedlearn_lib.sparse.optim import SplitLBI, split_lbi
from fedlearn_lib.sparse.order import entry_auc
from fedlearn_lib.sparse.path import Path
from fedlearn_lib.sparse.penalties import L1, GroupL2, Penalty
from fedlearn_lib.sparse.recorder import record_path
from fedlearn_lib.sparse.split import SplitState, split_lbi_max_lr, split_lbi_path, split_step
from fedlearn_lib.sparse.stopping import (
    Curve,
    cross_validation,
    discrepancy_time,
    validation_curve,
)

__all__ = [
    "L1",
    "Certificate",
    "Curve",
    "Forecast",
    "GroupL2",
    "Path",
    "Penalty",
    "SplitLBI",
    "SplitState",
    "certificate",
    "cross_validation",
    "discrepancy_time",
    "entry_auc",
    "entry_forecast",
    "iss_path",
    "largest_curvature",
    "lbi",
    "lbi_max_lr",
    "lbi_path",
    "penalty_groups",
    "record_path",
    "split_lbi",
    "split_lbi_max_lr",
    "split_lbi_path",
    "split_step",
    "validation_curve",
]
