"""The first page and the ten-minute tour: what a stranger sees, moves and counts."""

from __future__ import annotations

import io
import json
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from built import SITE, Visit
from pages import module

from fedlearn_book.widgets import front, front_still, page, pair
from fedlearn_lib import adapt, fedavg, gradient, run
from fedlearn_lib.data import quadratic_clients, quadratic_loss

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from portable import counts  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Open = Callable[..., "Page"]
FRONT, TOUR = "book/intro.html", "book/tour.html"
SCREENS = {"desk": (1280, 800), "phone": (390, 844)}
SHOWN = ".front-line, .front-buttons a, .fl-title, .fl-view, .fl-say"


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """Compare in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


hospitals = cache(front.hospitals)


@cache
def path_up_to_the_end() -> front.Filling:
    return front.filling(front.SPAN[1])


def told(place: Locator) -> str:
    return (place.text_content() or "").replace("\xa0", " ")


def start_of(tab: Page) -> Locator:
    return tab.get_by_role("slider", name="Shared start")


def middle(place: Locator) -> tuple[float, float]:
    box = place.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


# ---------------------------------------------------------------- the first screen


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("screen", SCREENS)
def test_the_first_screen_holds_sentence_figure_and_button(visit: Visit, screen: str, dark: bool):
    width, height = SCREENS[screen]
    tab = visit(FRONT, width=width, dark=dark)
    tab.set_viewport_size({"width": width, "height": height})
    tab.wait_for_selector(".fl-handle")
    for shown in tab.locator(SHOWN).all():
        box = shown.bounding_box()
        assert box
        name = told(shown)[:40]
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= width, name
        assert box["y"] + box["height"] <= height, name
    assert tab.locator(SHOWN).count() == 1 + 2 + 3 * 2
    assert len(told(tab.locator(".front-line")).split()) < 30
    for text in tab.locator(".fl-view text").all():
        drawn = text.bounding_box()
        assert drawn
        assert drawn["height"] >= 9


@pytest.mark.parametrize("where", ["folder", "http"])
def test_the_buttons_lead_to_chapter_1_and_to_the_tour(visit: Visit, http: str, where: str):
    for name, page_ in (("Start chapter 1", "01_federated_averaging"), ("ten minutes", "tour")):
        tab = visit(FRONT, http if where == "http" else None)
        button = tab.locator(".front-buttons").get_by_role("link", name=name)
        assert (button.get_attribute("href") or "").endswith(f"{page_}.html")
        button.click()
        tab.wait_for_url(f"**/{page_}.html")
        assert tab.locator("article h1").is_visible()


def test_every_cover_leads_to_its_figure(visit: Visit):
    tab = visit(FRONT)
    links = [link.get_attribute("href") or "" for link in tab.locator(".covers a").all()]
    assert len(links) == 5
    for link in links:
        name, anchor = link.removeprefix("../").split("#")
        there = visit(name)
        section = there.locator(f"section[id='{anchor}']")
        assert section.locator(".fl-figure").count() > 0, link


def defined(source: str) -> int:
    """Count the words "def test_…" outside of strings and comments."""
    words = [token.string for token in tokenize.generate_tokens(io.StringIO(source).readline)]
    return sum(a == "def" and b.startswith("test_") for a, b in pairwise(words))


def test_the_counts_are_what_the_book_holds(visit: Visit):
    """Recounted here by other means: from the pages, and from the text of the tests."""
    found = {
        told(row.locator("dt")): int(told(row.locator("dd")).replace(",", ""))
        for row in visit(FRONT).locator(".book-counts > div").all()
    }
    books = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
    held = counts.counts(ROOT, [f"notebooks/{name}" for name in books])
    assert list(found.values()) == list(held)
    results = (SITE / "book/results.html").read_text("utf-8")
    sources = [path.read_text("utf-8") for path in (ROOT / "tests").glob("**/test_*.py")]
    pages = [(SITE / "notebooks" / f"{name}.html").read_text("utf-8") for name in books]
    runs = [json.loads(path.read_text("utf-8")) for path in (ROOT / counts.RESULTS).glob("*.json")]
    figures = [len(re.findall(r'class="fl-figure[ "]', text)) for text in pages]
    assert found == {
        "chapters": len(books),
        "results proved": results.count("<dt>Proof"),
        "tests of the code": sum(map(defined, sources)),
        "interactive figures": sum(figures),
        "minutes of experiments": round(sum(run_["seconds"] for run_ in runs) / 60),
    }


# ---------------------------------------------------------------- four hospitals around one start


def library_says(w: torch.Tensor) -> tuple[torch.Tensor, str, str]:
    """Where the hospitals land from w, and the losses before and after, as the page writes them."""
    clients = hospitals()
    own = front.moved(clients, w, front.ALPHA)
    losses = [front.mean_loss(clients, at) for at in (w.expand_as(own), own)]
    return own, f"{losses[0]:.3f}", f"{losses[1]:.3f}"


def place(kind: str, px: float) -> float:
    low, high, start, end = front_still.RISKS[kind]
    return low + (px - start) / (end - start) * (high - low)


def model_of(tab: Page, selector: str) -> torch.Tensor:
    """The models at circles of the drawing: [count 2]."""
    spots = tab.locator(selector).evaluate_all(
        "(all) => all.map((one) => [one.getAttribute('cx'), one.getAttribute('cy')].map(Number))"
    )
    return torch.tensor([[place("x", x), place("y", y)] for x, y in spots])


def check_start(tab: Page) -> torch.Tensor:
    """The drawing and its words are what the library computes at the start that is shown."""
    (w,) = model_of(tab, "circle.fl-shared")
    own, before, after = library_says(w)
    assert model_of(tab, "circle.fl-own") == pytest.approx(own, abs=1e-9)
    said = told(tab.locator("[data-half=start] .fl-say"))
    assert f"loss {before} with one model for all, {after} after" in said
    assert f"{before} before and {after} after" in (start_of(tab).get_attribute("aria-valuetext"))
    return w


def test_the_page_computes_what_the_library_computes(open_page: Open):
    """Steps and losses at 50 starts, to 1e-12."""
    tab = open_page(front_still.figure_html())
    starts = 3 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    clients, table = hospitals(), front.table(hospitals())
    found = tab.evaluate(
        """async ([url, table, starts]) => {
          const { lossAt, stepFrom } = await import(url);
          return starts.map((w) => table.map((each) => [stepFrom(each, w, 6), lossAt(each, w)]));
        }""",
        [module("front.js"), table, starts.tolist()],
    )
    for w, rows in zip(starts, found, strict=True):
        for i, (step, value) in enumerate(rows):
            batch = clients.data(i)
            wanted = adapt(front.risk_loss, {"w": w}, batch, 6.0)["w"]
            assert step == pytest.approx(wanted.tolist(), abs=1e-12)
            assert value == pytest.approx(float(front.risk_loss({"w": w}, batch)), abs=1e-12)


def test_the_start_is_the_best_single_model(open_page: Open):
    tab = open_page(front_still.figure_html())
    w = check_start(tab)
    clients = hospitals()
    slopes = [
        gradient(front.risk_loss)({"w": w}, (clients.data(i),))["w"] for i in range(clients.m)
    ]
    assert torch.stack(slopes).mean(0).abs().max() < 1e-5
    assert told(tab.locator("[data-half=start] .fl-say")).startswith(
        "Mean loss 0.578 with one model for all, 0.472 after one step each."
    )


def test_dragging_the_start_moves_every_step(visit: Visit):
    tab = visit(FRONT)
    first, ends = check_start(tab), model_of(tab, "circle.fl-own")
    x, y = middle(start_of(tab))
    tab.mouse.move(x, y)
    tab.mouse.down()
    for by in ((60, -40), (-90, 20), (2000, -2000)):
        tab.mouse.move(x + by[0], y + by[1], steps=3)
        w = check_start(tab)
        assert (w - first).sign().tolist() == [1 if by[0] > 0 else -1, 1 if by[1] < 0 else -1]
        assert ((model_of(tab, "circle.fl-own") - ends).abs() > 1e-3).all()
    assert w.tolist() == pytest.approx([front_still.RISKS[name][1] for name in "xy"])
    tab.mouse.up()
    tab.mouse.move(x, y)
    assert check_start(tab).tolist() == w.tolist(), "not after the drop"


def test_arrow_keys_move_the_start(visit: Visit):
    tab = visit(FRONT)
    start = start_of(tab)
    before = check_start(tab)
    for key, axis, way in (("Right", 0, 1), ("Left", 0, -1), ("Up", 1, 1), ("Down", 1, -1)):
        start.press(f"Arrow{key}")
        now = check_start(tab)
        assert ((now - before)[axis] * way) > 0.05
        assert (now - before)[1 - axis].abs() < 1e-9
        start.press(f"Shift+Arrow{key}")
        assert ((check_start(tab) - now) / (now - before))[axis] == pytest.approx(4)
        before = check_start(tab)
    assert start.evaluate("(node) => node === document.activeElement")


# ---------------------------------------------------------------- a path that fills a model


def check_path(tab: Page) -> float:
    """Dots, names and words are the library's path at the time that is shown."""
    path = path_up_to_the_end()
    clock = tab.get_by_role("slider", name="Time")
    words = clock.get_attribute("aria-valuetext") or ""
    low, high, left, right = front_still.TIMES["x"]
    cut = float(tab.locator(".fl-now").get_attribute("x1") or "")
    t = float(torch.tensor(low + (cut - left) / (right - left) * (high - low)).exp())
    k = int((path.t <= t * (1 + 1e-5)).sum()) - 1  # the page has six digits
    row = path.w[k] if k >= 0 else torch.zeros(len(path.names))
    inside = row.nonzero()[:, 0].tolist()
    bottom, top, zero, one = front_still.TIMES["y"]
    heights = {
        int((dot.get_attribute("class") or "").removeprefix("fl-c")):
        bottom + (float(dot.get_attribute("cy") or "") - zero) / (one - zero) * (top - bottom)
        for dot in tab.locator(".fl-dots circle").all()
    }  # fmt: skip
    assert heights == pytest.approx({j: float(row[j]) for j in inside}, abs=1e-6)
    lit = {told(name) for name in tab.locator(".fl-name.fl-in").all()}
    assert lit == {path.names[j] for j in inside}
    said = told(tab.locator("[data-half=path] .fl-say"))
    assert said.startswith(f"{len(inside) or 'None'} of {len(path.names)} measurements")
    if k >= 0:
        part = 100 * float(path.explained[k])
        assert f"explains {part:.0f} %" in said or f"explain {part:.{int(part > 99)}f} %" in said
    assert words == f"time {t:.1f}: {said}"
    return t


def test_dragging_the_time_lets_the_measurements_in(visit: Visit):
    tab = visit(FRONT)
    assert check_path(tab) == pytest.approx(front.TIME)
    x, y = middle(tab.get_by_role("slider", name="Time"))
    tab.mouse.move(x, y - 60)
    tab.mouse.down()
    seen = []
    for by in (-2000, -70, 0, 30, 60, 2000):
        tab.mouse.move(x + by, y - 60, steps=2)
        seen.append((check_path(tab), tab.locator(".fl-dots circle").count()))
    assert seen == sorted(seen)
    assert [seen[0][0], seen[-1][0]] == pytest.approx(front.SPAN)
    assert [count for _, count in seen] == [0, 1, 4, 6, 7, 7]


def test_keys_go_along_the_path_and_from_entry_to_entry(visit: Visit):
    tab = visit(FRONT)
    clock = tab.get_by_role("slider", name="Time")
    clock.press("Home")
    assert check_path(tab) == pytest.approx(front.SPAN[0])
    knots = path_up_to_the_end().t.tolist()
    for knot in knots:
        clock.press("PageUp")
        assert check_path(tab) == pytest.approx(knot, rel=1e-5)
    for knot in knots[-2::-1]:
        clock.press("PageDown")
        assert check_path(tab) == pytest.approx(knot, rel=1e-5)
    clock.press("ArrowRight")
    clock.press("ArrowRight")
    after = check_path(tab)
    assert after > knots[0]
    clock.press("ArrowLeft")
    assert check_path(tab) < after
    clock.press("End")
    assert check_path(tab) == pytest.approx(front.SPAN[1])


# ---------------------------------------------------------------- thumbs, paper, weight


def touch(tab: Page, kind: str, *points: tuple[float, float]) -> None:
    session = tab.context.new_cdp_session(tab)
    for k, (x, y) in enumerate(points):
        name = "touchStart" if k == 0 else "touchMove"
        session.send("Input.dispatchTouchEvent", {"type": name, "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": []})
    session.detach()


@pytest.fixture
def phone(new_context: Callable[..., object]) -> Page:
    context = new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, offline=True
    )
    tab: Page = context.new_page()  # type: ignore[attr-defined]
    tab.goto((SITE / FRONT).as_uri())
    tab.wait_for_selector("html[data-measured=all]", state="attached")
    return tab


def test_a_thumb_drags_the_start_and_the_time(phone: Page):
    x, y = middle(start_of(phone))
    before = check_start(phone)
    touch(phone, "touchEnd", (x, y), (x + 10, y - 20), (x + 30, y - 50), (x + 40, y - 60))
    moved = check_start(phone) - before
    assert (moved > torch.tensor([0.3, 0.5])).all()
    assert phone.evaluate("scrollY") == 0
    x, y = middle(phone.get_by_role("slider", name="Time"))
    touch(phone, "touchEnd", (x, y - 60), (x + 20, y - 60), (x + 60, y - 61), (x + 90, y - 61))
    assert check_path(phone) > 12


def test_a_thumb_that_scrolls_moves_nothing(phone: Page):
    """A swipe up over both maps goes to the page."""
    before, time = check_start(phone), check_path(phone)
    for half in ("start", "path"):
        box = phone.locator(f"[data-half={half}] .fl-view").bounding_box()
        assert box
        x, y = box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"]
        scrolled = phone.evaluate("scrollY")
        touch(phone, "touchEnd", *((x, y - 12 * k) for k in range(14)))
        phone.wait_for_function("(before) => scrollY > before + 50", arg=scrolled)
    assert check_start(phone).tolist() == before.tolist()
    assert check_path(phone) == time


def test_a_tap_puts_the_start_there(phone: Page):
    box = phone.locator("[data-half=start] .fl-view").bounding_box()
    assert box
    phone.touchscreen.tap(box["x"] + 0.8 * box["width"], box["y"] + 0.3 * box["height"])
    assert check_start(phone)[0] > 1.5


def test_on_paper_stands_what_the_page_began_with(visit: Visit):
    tab = visit(FRONT)
    drawn = "() => document.querySelector('.fl-front').innerText"
    first = tab.evaluate(drawn)
    start_of(tab).press("Shift+ArrowRight")
    tab.get_by_role("slider", name="Time").press("End")
    moved = tab.evaluate(drawn)
    assert moved != first
    tab.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert tab.evaluate(drawn) == first
    check_start(tab)
    tab.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert tab.evaluate(drawn) == moved


@pytest.mark.parametrize("make", [front_still.figure_html, pair.average_html, pair.start_html])
def test_without_scripts_the_drawing_stands_and_the_script_agrees(open_page: Open, make):
    """The drawing is the library's; the script, which computes anew, begins with the same."""
    still = open_page(make(), java_script_enabled=False)
    assert still.locator("[role=slider], input").count() == 0
    box = still.locator("svg").first.bounding_box()
    assert box
    assert box["width"] > 300
    moving = open_page(make())
    said = [told(tab.locator(".fl-figure .fl-say").first) for tab in (still, moving)]
    assert said[0] == said[1]
    before, after = (told(tab.locator("svg").first) for tab in (still, moving))
    assert before == after
    dots = "circle:not(.fl-dots circle)"
    spots = [
        tab.locator(dots).evaluate_all(
            "(all) => all.map((one) => ['cx', 'cy'].map((name) => Number(one.getAttribute(name))))"
        )
        for tab in (still, moving)
    ]
    assert torch.tensor(spots[0]) == pytest.approx(torch.tensor(spots[1]), abs=0.051)


def test_the_figures_are_light() -> None:
    for make in (front_still.figure_html, pair.average_html, pair.start_html):
        assert 5_000 < len(make().encode()) < 40_000
    assert 100_000 < (SITE / TOUR).stat().st_size < 1_000_000


def test_nothing_moves_by_itself() -> None:
    for style in (page.asset("front.css"), (ROOT / "book/_assets/front.css").read_text("utf-8")):
        assert not re.search("animation|transition", style)


# ---------------------------------------------------------------- the tour

TWO = quadratic_clients(
    torch.tensor(pair.STRENGTH, dtype=torch.float64).view(2, 1, 1),
    torch.tensor(pair.WISH, dtype=torch.float64).view(2, 1),
)


def test_averaging_rests_where_the_library_rests(open_page: Open):
    tab = open_page(pair.average_html(), width=390)
    steps = tab.get_by_role("slider", name="local steps")
    steps.press("Home")
    for tau in pair.TAUS:
        end, _ = run(
            fedavg(gradient(quadratic_loss), lr=pair.LR), {"w": torch.zeros(1)}, TWO, steps=tau,
            rounds=max(25, 100 // tau), batch=None, generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        rest = float(end.w["w"])
        assert steps.get_attribute("aria-valuetext") == str(tau)
        assert f"settles at {rest:.3f}." in told(tab.locator(".fl-say"))
        low, high, left, right = pair.AXES["x"]
        at = left + (rest - low) / (high - low) * (right - left)
        shown = float(tab.locator("circle.fl-shared").get_attribute("cx") or "")
        assert shown == pytest.approx(at, abs=1e-6)
        ends = tab.locator(".fl-end").evaluate_all("(all) => all.map((e) => +e.getAttribute('cx'))")
        assert sum(ends) / 2 == pytest.approx(at, abs=1e-6), "it stands still in the middle"
        steps.press("ArrowRight")


def test_the_start_of_two_hospitals_is_the_librarys(open_page: Open):
    """Losses before and after, and the best start, for every step and for starts by key."""
    tab = open_page(pair.start_html())
    size, start = tab.get_by_role("slider", name="size"), start_of(tab)
    size.press("Home")
    grid = torch.linspace(-0.3, 1.3, 1601)
    for alpha in pair.ALPHAS:
        start.press("ArrowRight")
        w = float(start.get_attribute("aria-valuenow") or "")

        def mean_after(v: float, alpha: float = alpha) -> float:
            own = [adapt(quadratic_loss, {"w": torch.tensor([v])}, TWO.data(i), alpha)
                   for i in (0, 1)]  # fmt: skip
            return sum(float(quadratic_loss(o, TWO.data(i))) for i, o in enumerate(own)) / 2

        best = pair.best_start(alpha)
        assert mean_after(best) <= min(map(mean_after, grid[::40].tolist())) + 1e-12
        said = [float(number) for number in re.findall(r"\d+\.\d+", told(tab.locator(".fl-say")))]
        wanted = [w, mean_after(w, 0.0), mean_after(w), best, mean_after(best)]
        assert said == pytest.approx(wanted, abs=0.00501), "two digits of the starts"
        assert [said[1], said[2], said[4]] == pytest.approx(
            [wanted[1], wanted[2], wanted[4]], abs=0.000501
        )
        size.press("ArrowRight")


def test_the_start_of_two_hospitals_is_dragged(visit: Visit):
    tab = visit(TOUR)
    start = start_of(tab)
    start.scroll_into_view_if_needed()
    x, y = middle(start)
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + 120, y + 30, steps=4)
    tab.mouse.up()
    w = float(start.get_attribute("aria-valuenow") or "")
    assert 0.4 < w < 0.7
    said = told(tab.locator("[data-half=start] .fl-say"))
    assert said.startswith(f"From {w:.2f} the mean loss is")


def test_the_tour_has_its_length_and_its_figures(visit: Visit):
    tab = visit(TOUR)
    assert tab.locator(".live .fl-figure").count() == 5
    words = tab.locator("main article").evaluate(
        """(article) => {
          const copy = article.cloneNode(true);
          copy.querySelectorAll(".live, .drawing, .headerlink").forEach((one) => one.remove());
          return copy.innerText.trim().split(/\\s+/).length;
        }"""
    )
    assert 800 < words < 1000


def cell_text(chapter: str, cell: str) -> str:
    """Source and printed output of a chapter's cell."""
    path = next((ROOT / "notebooks").glob(f"{chapter}_*.ipynb"))
    (found,) = (c for c in json.loads(path.read_text("utf-8"))["cells"] if c.get("id") == cell)
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "")
             for output in found.get("outputs", [])]  # fmt: skip
    return "".join("".join(text) for text in [found["source"], *texts])


def row_of(result: str, *first: str) -> list[str]:
    record = json.loads((ROOT / counts.RESULTS / f"{result}.json").read_text("utf-8"))
    (row,) = (r for r in record["table"]["rows"] if r[: len(first)] == list(first))
    return [str(value) for value in row]


def test_every_number_of_the_tour_has_its_source() -> None:
    text = (ROOT / "book/tour.md").read_text("utf-8").replace("$", "").replace(r"\pm", " ± ")
    mail = cell_text("01", "c01-bf4033f4")
    assert "  1 local steps: the mail settles at 0.2000" in mail
    assert "100 local steps: the mail settles at 0.5000" in mail
    assert [pair.settled(1), pair.settled(100)] == pytest.approx([0.2, 0.5], abs=1e-4)
    losses = [pair.loss(0.2), pair.loss(0.2, 0.2), pair.loss(pair.best_start(0.2), 0.2)]
    assert (
        "mean loss from {:.3f} to {:.3f}. From 0.80 it brings it to {:.3f}".format(*losses) in text
    )
    users = row_of("two_groups_mnist", "10", "0.01")
    exact, average = (re.fullmatch(r"(\S+ ± \S+) \((\S+)\)", users[k]) for k in (5, 2))
    assert exact
    assert average
    assert f"reached {exact[1]} percent" in text
    assert f"same step {average[1]}. Before the step it was {exact[2]} against {average[2]}" in text
    fair = [row_of("compared", "two groups", name)[3] for name in ("Per-FedAvg hf", "FedAvg")]
    assert f"{fair[0]} and {fair[1]}" in text
    off = re.findall(r"off by ([\d.]+) on average, those of the LASSO beside it by ([\d.]+)\.",
                     cell_text("08", "c08-1f58b09f"))  # fmt: skip
    assert f"off by {off[0][0]} on average and the LASSO by {off[0][1]}" in text
    table, words = cell_text("11", "c11-1db29f66"), cell_text("11", "c11-57e76e3f")
    assert re.search(r"^ +2 +0\.943", table, re.M)
    assert re.search(r"^ +15 +0\.963 +0\.963", table, re.M)
    assert "10,920 fully connected weights the sparse one uses about two hundred" in words
    assert "94 percent after two epochs" in text
    assert "both read 96.3 percent, and of the 10,920 weights" in text
    kept = row_of("tickets_mnist", "20 %")
    assert f"reach {kept[1]} percent" in text
    assert f"as many in each layer, reach {kept[5]}" in text
    clock = cell_text("14", "c14-permutation")
    first, earliest = re.search(r"t₁ = ([\d.]+).*earliest ([\d.]+)", clock, re.S).groups()  # type: ignore[union-attr]
    assert f"a clock: it is {first}, and when the same" in text
    assert f"by lot, {earliest} is the earliest of a thousand deals" in text
