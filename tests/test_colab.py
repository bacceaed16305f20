"""The hero figures in Colab, whose page asks each output which widget manager to load.

A stand-in plays ``google.colab.output``: it has the one function and the one address that matter.
Colab's own hook covers ``display`` only, so the metadata must come from the figure itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import RichOutput
from toy_heroes import explorer, filters

from fedlearn_book.widgets import HeterogeneityExplorer, MetaLandscape, Setting

VIEW = "application/vnd.jupyter.widget-view+json"
MANAGER = "https://ssl.gstatic.com/colaboratory-static/widgets/colab-cdn-widget-manager/x.js"


def colab_output() -> ModuleType:
    """Make a stand-in whose manager has an address only after it was enabled, as in Colab."""
    module: Any = ModuleType("google.colab.output")
    module._widgets = SimpleNamespace(_installed_url=None)
    module.enable_custom_widget_manager = lambda: vars(module._widgets).update(
        _installed_url=MANAGER
    )
    return module


OUTPUT = colab_output()  # one for all tests: anywidget enables the manager once in a process


@pytest.fixture
def colab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEDLEARN_FIGURES", raising=False)
    for name in ("google", "google.colab"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "google.colab.output", OUTPUT)


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False
    yield shell
    InteractiveShell.clear_instance()


def output_of(cell: str, shell: InteractiveShell, hero: object) -> RichOutput:
    """Run a cell as a notebook does and return the only thing that it shows."""
    shell.user_ns["hero"] = hero
    shell.run_cell(f"%%capture shown\nfrom IPython.display import display\n{cell}").raise_error()
    output: RichOutput
    (output,) = shell.user_ns["shown"].outputs
    return output


def landscape() -> MetaLandscape:
    A, centers = torch.eye(2).expand(2, 2, 2), torch.tensor([[-1.0, 0.0], [1.0, 0.5]])
    return MetaLandscape(A, centers, torch.tensor([0.5, 0.5]), alpha=0.2)


def heterogeneity() -> HeterogeneityExplorer:
    counts = [[5, 5], [5, 5]]
    return HeterogeneityExplorer(
        [Setting("iid", v, counts, ["a", "b"], 0.0, 0.0, 0.0, 0.9) for v in (None, 1.0)]
    )


HEROES = [heterogeneity, landscape, explorer, filters]


@pytest.mark.usefixtures("colab")
@pytest.mark.parametrize("cell", ["hero", "display(hero)"])
@pytest.mark.parametrize("make", HEROES)
def test_a_hero_names_the_widget_manager(
    make: Callable[[], Any], cell: str, shell: InteractiveShell
) -> None:
    output = output_of(cell, shell, make())
    assert output.data[VIEW]["model_id"] == shell.user_ns["hero"].widget.model_id
    assert set(output.data) == {VIEW, "image/png", "text/plain"}
    assert output.metadata == {VIEW: {"colab": {"custom_widget_manager": {"url": MANAGER}}}}


@pytest.mark.parametrize("wish", ["live", "static"])
@pytest.mark.parametrize("make", HEROES)
def test_elsewhere_the_output_has_no_metadata(
    make: Callable[[], Any], wish: str, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDLEARN_FIGURES", wish)
    output = output_of("hero", shell, make())
    assert (VIEW in output.data) == (wish == "live")
    assert output.metadata == {}
