"""The one function and the one address by which Colab's page finds a widget's program."""

from types import SimpleNamespace

MANAGER = "https://ssl.gstatic.com/colaboratory-static/widgets/colab-cdn-widget-manager/x.js"

_widgets = SimpleNamespace(_installed_url=None)


def enable_custom_widget_manager() -> None:
    """Give the manager its address, as Colab does when a widget asks for it."""
    _widgets._installed_url = MANAGER
