"""What axe-core says about a page, with every fold open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import axe_playwright_python
from built import RESTS

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
# Opens every fold; done when the page has heard of all of them: then it looks for what scrolls now.
OPEN_ALL = """() => new Promise((done) => {
  const folds = [...document.querySelectorAll("details:not([open])")];
  const drawn = () => setTimeout(done);
  let left = folds.length;
  if (!left) drawn();
  for (const fold of folds) {
    fold.addEventListener("toggle", () => --left || drawn(), { once: true });
    fold.open = true;
  }
})"""
# Rules that axe knows and leaves out unless one asks for them.
MORE = ("label-content-name-mismatch", "p-as-heading", "table-fake-caption", "td-has-header")
# In formulas, listings and signatures lie four of five elements of a page, and nothing to judge but
# colors. Two texts of one color on one ground are alike: each look is judged three times. Before
# axe looks, a formula, listing or signature is left its bare text and its links, unless one of the
# texts to be judged is in it or it is part of what scrolls: bare text has another width. With all
# of them axe took three minutes for the longest chapter.
DEEP = "math, pre, dt.sig"
RUN = """async ([parts, deep, more]) => {
  const under = new Map();
  const ground = (node) => {  // what lies below a node, from the page up
    if (!node) return "";
    if (!under.has(node)) {
      const { backgroundColor, backgroundImage, opacity } = getComputedStyle(node);
      const own = `${backgroundColor} ${backgroundImage} ${opacity};`;
      const clear = own === "rgba(0, 0, 0, 0) none 1;";
      under.set(node, ground(node.parentElement) + (clear ? "" : own));
    }
    return under.get(node);
  };
  const looks = new Map();
  for (const part of parts ? document.querySelectorAll(parts) : [document.body]) {
    const texts = document.createTreeWalker(part, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const node = texts.currentNode.parentElement;
      if (!texts.currentNode.data.trim() || !node.checkVisibility()) continue;
      const { color, fontSize, fontWeight, textShadow } = getComputedStyle(node);
      const large = parseFloat(fontSize) >= (fontWeight >= 700 ? 18.6 : 24);
      const look = [color, large, textShadow, ground(node)].join();
      if (!looks.has(look)) looks.set(look, []);
      if (looks.get(look).length < 3) looks.get(look).push(node);
    }
  }
  const judged = [...looks.values()].flat();
  const scrolls = [...document.body.querySelectorAll("*")].filter((node) =>
    (node.scrollWidth > node.clientWidth || node.scrollHeight > node.clientHeight) &&
    /auto|scroll/.test(getComputedStyle(node).overflow));
  const whole = (node) => judged.some((one) => node.contains(one)) ||
    scrolls.some((one) => node.contains(one) || one.contains(node));
  const held = [...document.querySelectorAll(deep)].filter((node) => !whole(node))
    .map((node) => [node, [...node.childNodes]]);
  for (const node of judged) node.setAttribute("data-judged", "");
  axe.configure({ rules: [{ id: "color-contrast", selector: "[data-judged]" }] });
  for (const [node, inside] of held) {
    node.replaceChildren(node.textContent, ...inside.filter((one) => one.tagName === "A"));
  }
  try {
    const { violations } = await axe.run(parts ?? document.documentElement, {
      preload: false, resultTypes: ["violations"],
      rules: Object.fromEntries(more.map((name) => [name, { enabled: true }])),
    });
    return violations.map(({ id, nodes }) =>
      [id, nodes.slice(0, 3).map(({ html }) => html.slice(0, 120))]);
  } finally {
    for (const [node, inside] of held) node.replaceChildren(...inside);
    for (const node of judged) node.removeAttribute("data-judged");
  }
}"""


def findings(tab: Page, parts: str | None = None) -> list[list[Any]]:
    """List what axe finds on the page as it stands, or in its parts: rule and elements of each."""
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(AXE)
    found: list[list[Any]] = tab.evaluate(RUN, [parts, DEEP, MORE])
    return found


def violations(tab: Page) -> list[list[Any]]:
    """List the findings of axe, the minor ones too, and words that are hidden from nobody."""
    tab.evaluate(OPEN_ALL)
    tab.evaluate(RESTS)  # what a fold shows fades in
    tab.wait_for_selector("html[data-measured=all]", state="attached")  # what scrolls is known
    found = findings(tab)
    ignored = tab.locator('[aria-hidden=""]')  # a value that says nothing
    if ignored.count():
        found.append(["aria-hidden without a value", ignored.all_inner_texts()[:3]])
    return found
