"""Interactive figures: one Python call that works with a kernel and in the page without one.

Nothing of ipywidgets, anywidget or matplotlib is imported before a figure is asked for.
"""

from fedlearn_book.widgets.explore import Explorer, explore
from fedlearn_book.widgets.filters import FiltersEntering
from fedlearn_book.widgets.frontend import is_live
from fedlearn_book.widgets.heterogeneity import HeterogeneityExplorer
from fedlearn_book.widgets.landscape import MetaLandscape
from fedlearn_book.widgets.paths import PathExplorer
from fedlearn_book.widgets.personal import PersonalExplorer
from fedlearn_book.widgets.picture import Picture, picture
from fedlearn_book.widgets.settings import Setting, mean_label_tv

__all__ = [
    "Explorer",
    "FiltersEntering",
    "HeterogeneityExplorer",
    "MetaLandscape",
    "PathExplorer",
    "PersonalExplorer",
    "Picture",
    "Setting",
    "explore",
    "is_live",
    "mean_label_tv",
    "picture",
]
