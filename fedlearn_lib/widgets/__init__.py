"""Interactive figures: one Python call that works with a kernel and in the page without one.

Nothing of ipywidgets, anywidget or matplotlib is imported before a figure is asked for.
"""

from fedlearn_lib.widgets.explore import Explorer, explore
from fedlearn_lib.widgets.filters import FiltersEntering
from fedlearn_lib.widgets.frontend import is_live
from fedlearn_lib.widgets.heterogeneity import HeterogeneityExplorer
from fedlearn_lib.widgets.landscape import MetaLandscape
from fedlearn_lib.widgets.paths import PathExplorer
from fedlearn_lib.widgets.settings import Setting, mean_label_tv

__all__ = [
    "Explorer",
    "FiltersEntering",
    "HeterogeneityExplorer",
    "MetaLandscape",
    "PathExplorer",
    "Setting",
    "explore",
    "is_live",
    "mean_label_tv",
]
