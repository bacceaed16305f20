"""What a how-to page hands to a paper: an interval of paired differences, a table twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fedlearn_book.reproductions import table


def half_width(gaps: Sequence[float], *, overlap: float = 0.0) -> float:
    r"""Return half of the 95 % interval of the mean of paired differences $d_1,\dots,d_J$.

    $$t_{J-1,0.975}\,s\,\sqrt{\tfrac1J+q},$$
    where $s$ is their standard deviation.

    Parameters
    ----------
    gaps : [J], one difference a seed or a split.
    overlap : $q$, 0 for independent runs; for random splits of one data set the size of a test
        part divided by that of a training part, because they share most of their rows.

    Nadeau and Bengio, Machine Learning 52, 2003.

    >>> round(half_width([1.0, 2.0, 3.0]), 3)
    2.484
    >>> round(half_width([1.0, 2.0, 3.0], overlap=1 / 3), 3)  # a third and a third: twice as large
    3.513
    """
    from scipy import stats

    values = np.asarray(gaps, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(
            f"gaps must be two or more finite differences in a row, got the shape {values.shape} "
            f"with {int((~np.isfinite(values)).sum())} that are not finite; pass one for each seed"
        )
    if not 0 <= overlap < np.inf:
        raise ValueError(
            f"overlap must be a finite number of at least 0, got {overlap!r}; pass the test rows "
            "divided by the training rows, or leave it out for independent runs"
        )
    J = len(values)
    return float(stats.t.ppf(0.975, J - 1) * values.std(ddof=1) * (1 / J + overlap) ** 0.5)


def paired(gaps: Sequence[float], digits: int = 3, *, overlap: float = 0.0) -> str:
    """Write mean and half-width of some differences with their sign.

    >>> paired([0.1, 0.2, 0.3], 2)
    '+0.20 ± 0.25'
    """
    return f"{np.mean(gaps):+.{digits}f} ± {half_width(gaps, overlap=overlap):.{digits}f}"


class Table(NamedTuple):
    """A table that Jupyter shows and a paper can take.

    >>> print(Table(["method", "gap"], [["ours & theirs", "+0.1 ± 0.2"]]).latex())
    \\begin{tabular}{lr}
    \\toprule
    method & gap \\\\
    \\midrule
    ours \\& theirs & $+0.1 \\pm 0.2$ \\\\
    \\bottomrule
    \\end{tabular}
    """

    columns: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """Write the table as Markdown."""
        return table(self._asdict())

    def latex(self) -> str:
        """Write the table for LaTeX with the package booktabs."""
        head, *body = [
            " & ".join(map(_latex, line)) + r" \\" for line in [self.columns, *self.rows]
        ]
        layout = "l" + "r" * (len(self.columns) - 1)
        return "\n".join([
            rf"\begin{{tabular}}{{{layout}}}", r"\toprule", head, r"\midrule", *body,
            r"\bottomrule", r"\end{tabular}",
        ])  # fmt: skip

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/markdown": self.markdown(), "text/plain": self.latex()}


def _latex(cell: str) -> str:
    """Escape what LaTeX reads as a command; set a number and its half-width as a formula."""
    for sign in r"&%$#_":
        cell = cell.replace(sign, f"\\{sign}")
    if "±" in cell or (cell[:1] in "+-" and cell[1:2].isdigit()):
        return "$" + cell.replace("±", r"\pm") + "$"
    return cell
