"""What becomes a slide: rules that read a chapter's page of the built site.

The upper line holds what a lecturer says: each section with its one message, each numbered result,
figure, table, prediction and quiz question. Below a slide lies how one knows: proof, check, code,
lemma and corollary; below the title of a section that is depth lies all of it. The prose that is on
no slide is in the notes of the slide that it follows.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape

from bs4 import BeautifulSoup, Tag

LINES, WIDE = 12, 88  # the longest code that a slide shows, in lines and in letters
TALL, BROAD = 25, 109  # what a slide holds of listings at 18 pixels: see ``tall``
ROWS = 14  # the most lines of a table on a slide
ROOM = 1150  # what a slide holds, in the letters of its text; see ``weight``
WORDS_A_MINUTE = 130
ASKS = ("Predict first", "Before you read", "Before you run")
MESSAGE = 260  # the longest message of a section, in letters
# Seconds that a slide takes besides its words: to read it, to think, to try.
SECONDS = {"predict": 60, "quiz": 90, "live": 90, "result": 45, "figure": 30, "table": 45}


@dataclass
class Slide:
    """One slide: its kind, what stands above it, its body, and what the lecturer says."""

    kind: str
    name: str
    body: str
    notes: list[str] = field(default_factory=list)
    below: list[Slide] = field(default_factory=list)

    @property
    def seconds(self) -> int:
        """How long it takes, in half minutes: its own time and that of the words in its notes."""
        words = sum(len(re.sub(r"<[^>]*>", " ", note).split()) for note in self.notes)
        asked = SECONDS.get(self.kind, 30) + 60 * words / WORDS_A_MINUTE
        return max(30, 30 * round(min(asked, 300) / 30))


def text(node: Tag) -> str:
    """Return the words of a part of the page, in one line."""
    return " ".join(node.get_text().split())


def classes(node: Tag) -> list[str]:
    found = node.get("class")
    return found if isinstance(found, list) else []


def has(node: Tag, *names: str) -> bool:
    return any(name in classes(node) for name in names)


def clean(node: Tag) -> Tag:
    """Return a copy without what works on the site only: anchors, links inside it, cards.

    >>> soup = BeautifulSoup('<p id="a">By <a href="x.html#b">Lemma 1</a>.'
    ...                      '<a class="headerlink" href="#a">#</a></p>', "html.parser")
    >>> str(clean(soup.p))
    '<p>By Lemma 1.</p>'
    """
    found = copy.copy(node)
    for one in found.select(".headerlink, .held-by, .eqno a, button"):
        one.decompose()
    for link in found.select("a"):
        if not str(link.get("href", "")).startswith("https://"):
            link.unwrap()
    for one in [found, *found.select("[id]")]:
        one.attrs.pop("id", None)
    return found


def html(*nodes: Tag) -> str:
    return "".join(str(clean(node)) for node in nodes)


# ----- sentences ---------------------------------------------------------------------------------


def sentences(paragraph: Tag, most: int) -> str:
    """Return the first sentences of a paragraph, at most ``most`` letters, but one at least.

    >>> soup = BeautifulSoup("<p>One <i>x. Y</i> is. Two are. And three.</p>", "html.parser")
    >>> sentences(soup.p, 20)
    'One <i>x. Y</i> is. Two are.'
    """
    kept, letters, ends = "", 0, [""]
    for child in clean(paragraph).children:
        if isinstance(child, Tag):
            kept, letters = kept + str(child), letters + len(child.get_text())
            continue
        for piece in re.split(r"(?<=[.?!:])\s+(?=[A-Z“(])", str(child)):
            if ends[-1] and letters + len(piece) > most:
                return ends[-1]
            kept, letters = kept + escape(piece, quote=False), letters + len(piece)
            if re.search(r"[.?!]$", piece):
                ends.append(kept.strip())
                kept += " "
    return ends[-1] or kept.strip()


def message(section: Tag) -> str:
    """Return a section's one message: its first bold sentence, or how its text begins."""
    for strong in section.select("p > strong"):
        if strong.find_parent("details") or strong.find_parent(class_="result"):
            continue
        words = text(strong)
        if 40 <= len(words) <= MESSAGE and words[-1] in ".?!" and not words.startswith(ASKS):
            return "".join(str(child) for child in clean(strong).children)
    first = section.find("p", recursive=False)
    if not isinstance(first, Tag):
        return ""
    words, formula = sentences(first, MESSAGE), first.find_next_sibling()
    if words[-1:] in ".?!" or not isinstance(formula, Tag) or not has(formula, "math"):
        return words
    return f"{words}{html(formula)}"


def question(paragraph: Tag) -> str:
    """Return what a paragraph asks to decide, from the bold words on, or nothing."""
    copied = clean(paragraph)
    for strong in copied.find_all("strong", recursive=False):
        if text(strong).startswith(ASKS):
            for before in list(strong.previous_siblings):
                before.extract()
            return f"<p>{copied.decode_contents()}</p>"
    return ""


# ----- size --------------------------------------------------------------------------------------


def weight(block: Tag) -> int:
    """Return how much room a block takes, in letters of text: a line has about 85."""
    rows = sum(max(1, len(one.select("mtr"))) for one in block.select("div.math")) or 0
    rows += max(1, len(block.select("mtr"))) if block.name == "div" and has(block, "math") else 0
    return len(text(block)) + 130 * rows + 60


def pages(blocks: Iterable[Tag], room: int = ROOM) -> list[list[Tag]]:
    """Deal blocks to slides, in order, each as full as it gets."""
    dealt: list[list[Tag]] = []
    left = 0
    for block in blocks:
        if not dealt or weight(block) > left:
            dealt.append([])
            left = room
        dealt[-1].append(block)
        left -= weight(block)
    return dealt


def even(blocks: list[Tag], room: int = ROOM) -> list[list[Tag]]:
    """Deal blocks to as many slides as ``pages`` does, about equally full.

    >>> items = BeautifulSoup(5 * f"<p>{200 * 'x'}</p>", "html.parser").select("p")
    >>> [len(page) for page in pages(items)], [len(page) for page in even(items)]
    ([4, 1], [3, 2])
    """
    dealt = pages(blocks, room)
    while room > 50 and len(tighter := pages(blocks, room - 50)) == len(dealt):
        dealt, room = tighter, room - 50
    return dealt


def lists(node: Tag, room: int = ROOM) -> list[Tag]:
    """Return a list as several if it is too long for a slide; numbers go on where they stood.

    >>> soup = BeautifulSoup('<ol start="3"><li>Send.</li></ol>', "html.parser")
    >>> str(lists(soup.ol)[0])
    '<ol start="3"><li>Send.</li></ol>'
    """
    items = [item for item in node.children if isinstance(item, Tag)]
    made, begun = [], int(str(node.get("start", "1")))
    for page in even(items, room):
        part = copy.copy(node)
        part.clear()
        for item in page:
            part.append(copy.copy(item))
        if node.name == "ol":
            part["start"] = str(begun)
        begun += len(page)
        made.append(part)
    return made


def tables(node: Tag) -> list[Tag]:
    """Return a table as several, each with the head, if it has too many lines for a slide."""
    rows = node.select("tbody > tr")
    lines = [max(1, *(-(-len(text(cell)) // 60) for cell in row.select("td, th"))) for row in rows]
    most = sum(lines) // -(-sum(lines) // ROWS) + 1 if rows else 0
    dealt: list[list[Tag]] = []
    left = 0
    for row, more in zip(rows, lines, strict=True):
        if not dealt or more > left:
            dealt.append([])
            left = most
        dealt[-1].append(row)
        left -= more
    return [_with_rows(node, group) for group in dealt]


def _with_rows(table: Tag, rows: list[Tag]) -> Tag:
    """Return a table with some of its rows."""
    made = copy.copy(table)
    for body in made.select("tbody"):
        body.clear()
        body.extend([copy.copy(row) for row in rows])
    return made


# ----- what is on a slide ------------------------------------------------------------------------


def titled(title: str, *nodes: Tag) -> str:
    return f"<h3>{escape(title, quote=False)}</h3>{html(*nodes)}"


def numbered(title: str, groups: list[list[Tag]], kind: str, name: str) -> list[Slide]:
    """Return slides under one title, counted if there are several."""
    many = len(groups) > 1
    titles = [
        f"{title} ({k} of {len(groups)})" if many else title for k in range(1, 1 + len(groups))
    ]
    return [
        Slide(kind, name, titled(one, *group)) for one, group in zip(titles, groups, strict=True)
    ]


def blocks(node: Tag) -> list[Tag]:
    """Return what stands in a part of the page, without what serves its reader on the site."""
    inside = [child for child in node.children if isinstance(child, Tag)]
    served = ("held-by", "read-mark", "read-place")
    return [child for child in inside if child.name != "summary" and not has(child, *served)]


def result(box: Tag, name: str) -> list[Slide]:
    """A numbered result; a long one goes on, under the same title, on the slides below."""
    title, *rest = blocks(box)
    parts = [part for one in rest for part in (lists(one) if one.name in ("ul", "ol") else [one])]
    kind = " ".join(classes(box)[:2])
    made = []
    for k, group in enumerate(pages(parts)):
        more = ' <span class="more">(continued)</span>' if k else ""
        head = html(title).removesuffix("</p>") + more + "</p>"
        made.append(Slide("result", name, f'<div class="{kind}">{head}{html(*group)}</div>'))
    made[0].below = made[1:]
    return made[:1]


def proof(fold: Tag, name: str) -> list[Slide]:
    summary = fold.find("summary")
    title = text(summary) if isinstance(summary, Tag) else "Proof"
    parts = [p for one in blocks(fold) for p in (lists(one) if one.name in ("ul", "ol") else [one])]
    return numbered(title, pages(parts), "proof", name)


def pre_of(cell: Tag, part: str) -> list[Tag]:
    return cell.select(f".cell_{part} pre")


def fits(pre: Tag) -> bool:
    lines = pre.get_text().strip("\n").split("\n")
    return len(lines) <= LINES and max(map(len, lines)) <= WIDE


def code(cell: Tag, name: str) -> list[Slide]:
    """A cell: short code, and what it prints. Long code stays in the chapter."""
    source = pre_of(cell, "input")
    printed = pre_of(cell, "output")
    if not source or has(cell, "tag_setup", "tag_solution"):
        return []
    first = source[0].get_text().strip().split("\n")[0]
    check = re.match(r"# ((Check of \w+ \d+\.\d+).*)", first)
    hidden = has(cell, "tag_hide-input") or not fits(source[0])
    title = check[1 if hidden else 2] if check else "What it prints" if hidden else "In code"
    shown = [] if hidden else cell.select(".cell_input > div")[:1]
    held = [*shown, *(part for one in cell.select(".cell_output > .output") for part in cut(one))]
    groups = [held] if sum(map(tall, held)) <= TALL else [[one] for one in held]
    return numbered(title, groups, "code", name) if printed or shown else []


def tall(block: Tag) -> int:
    """Return the lines that a listing takes on a slide, its frame and long lines included."""
    lines = [line for pre in block.select("pre") for line in pre.get_text().strip("\n").split("\n")]
    return 2 + sum(max(1, -(-len(line) // BROAD)) for line in lines)


def cut(printed: Tag) -> list[Tag]:
    """Return what a cell prints as several listings, each with its head, if it is too long.

    >>> soup = BeautifulSoup("<div><pre>a b\\n" + 30 * "1 2\\n" + "</pre></div>", "html.parser")
    >>> [(tall(part), part.get_text()[:5]) for part in cut(soup.div)]
    [(18, 'a b\\n1'), (18, 'a b\\n1')]
    """
    pre = printed.find("pre")
    if tall(printed) <= TALL or not isinstance(pre, Tag):
        return [printed]
    head, *lines = pre.get_text().strip("\n").split("\n")
    parts = -(-len(lines) // (TALL - 3))
    size = -(-len(lines) // parts)
    made = []
    for start in range(0, len(lines), size):
        part = copy.copy(printed)
        part.select("pre")[0].string = "\n".join([head, *lines[start : start + size]])
        made.append(part)
    return made


def figures(cell: Tag) -> list[Tag]:
    return cell.select(".cell_output > .text_html, .cell_output > img:not(.only-dark)")


def figure(shown: Tag, near: Tag | None, name: str) -> Slide:
    """A figure on a slide of its own; an image with its twin for a dark page, and its caption.

    >>> page = '<img class="only-light" src="a"><img class="only-dark" loading="lazy" src="b">'
    >>> soup = BeautifulSoup(f"<p><em>It falls.</em> See Lemma 1.</p>{page}", "html.parser")
    >>> figure(soup.img, soup.p, "Paths").body
    '<figure><img class="only-light" src="a"/><img class="only-dark" src="b"/><figcaption>It ...'
    """
    kind = "live" if shown.select(".fl-figure") else "figure"
    if shown.name == "img":
        night = shown.find_next_sibling("img", class_="only-dark")
        both = [shown, night] if isinstance(night, Tag) else [shown]
        for image in both:
            image.attrs.pop("loading", None)  # the deck waits for its images
        return Slide(kind, name, f"<figure>{html(*both)}{caption(near)}</figure>")
    # An output keeps its names: its script looks for them.
    return Slide(kind, name, str(shown))


def caption(near: Tag | None) -> str:
    """Return the caption of the image above a paragraph: sentences in italics that it begins with.

    >>> page = "<p><em>It falls.</em> See.</p><p><em>So</em> it is.</p>"
    >>> [caption(paragraph) for paragraph in BeautifulSoup(page, "html.parser").select("p")]
    ['<figcaption>It falls.</figcaption>', '']
    """
    said = near.find(True, recursive=False) if near else None
    if near is None or not isinstance(said, Tag) or said.name != "em":
        return ""
    words = text(said)
    whole = text(near).startswith(words) and words.endswith(".")
    return f"<figcaption>{clean(said).decode_contents()}</figcaption>" if whole else ""


def quiz(box: Tag, name: str) -> Slide:
    """A question; the next step says which answer is right, and why. The notes have the others."""
    asked, options = [], []
    notes = []
    right = ""
    for one in blocks(box):
        if not has(one, "option"):
            asked.append(one)
            continue
        summary = one.find("summary")
        words = clean(summary).decode_contents() if isinstance(summary, Tag) else ""
        why = html(*blocks(one))
        verdict = "right" if has(one, "right") else "wrong"
        options.append(f'<li class="option {verdict}">{words}</li>')
        if verdict == "right":
            right += f'<div class="fragment verdict">{why}</div>'
        notes.append(f"<p><b>{words}</b></p>{why}")
    body = f'{html(*asked)}<ul class="options">{"".join(options)}</ul>{right}'
    return Slide("quiz", name, body, notes)


# ----- a chapter ---------------------------------------------------------------------------------


def flat(section: Tag) -> Iterator[Tag]:
    """Yield the blocks of a section and of the sections inside it."""
    for one in blocks(section):
        if one.name == "section":
            yield from flat(one)
        elif one.name != "h2":
            yield one


def title_slide(top: Tag, book: str) -> list[Slide]:
    """The title, and what one can do afterwards."""
    head = [one for one in blocks(top) if one.name != "section"]
    words = [one for one in head if one.name == "p"]
    goals = next((one for one in head if one.name == "ol"), None)
    title = head[0]
    promise, about = words[0], words[1:]
    kept = [html(one) for one in about if not text(one).startswith("After this chapter")]
    number, _, name = text(clean(title)).partition(". ")
    of = f'<p class="of">{escape(book, quote=False)} · Chapter {number}</p>'
    body = f"{of}<h1>{escape(name, quote=False)}</h1>{html(promise)}"
    made = [Slide("title", f"{number}. {name}", body, kept[:1])]
    if goals is not None:
        for part in lists(goals):
            made.append(Slide("list", "", titled("After this chapter you can", part), kept[1:]))
    return made


def section_slides(section: Tag, deep: set[str]) -> list[Slide]:
    """Return the slides of one section; ``deep`` names those that a lecture may leave out."""
    heading = section.find("h2")
    assert isinstance(heading, Tag)
    name = text(clean(heading))
    mark = '<p class="deep">○ depth: may be left out</p>' if name in deep else ""
    title = clean(heading).decode_contents()
    body = f'<h2>{title}</h2><div class="message">{message(section)}</div>{mark}'
    parts = list(flat(section))
    made = [Slide("section", name, body)]
    if parts[0].name in ("ul", "ol") or has(parts[0], "pst-scrollable-table-container"):
        made = []  # the list itself is the message
    under = name
    at: dict[str, Slide] = {}  # where a result's proof and check go
    for k, one in enumerate(parts):
        if one.name == "h3":
            under = text(clean(one))
        elif has(one, "result"):
            if has(one, "lemma", "corollary"):
                made[-1].below += flattened(result(one, under))
            else:
                made += result(one, under)
            at[label(one)] = made[-1]
        elif has(one, "proof"):
            at.get(label(one), made[-1]).below += proof(one, under)
        elif has(one, "pst-scrollable-table-container"):
            made += [Slide("table", under, titled(under, part)) for part in tables(one)]
        elif has(one, "quiz"):
            made.append(quiz(one, under))
        elif has(one, "drawing", "live"):
            made.append(Slide("figure", under, str(one)))
        elif has(one, "cell"):
            shown = figures(one)
            near = parts[k + 1] if k + 1 < len(parts) and parts[k + 1].name == "p" else None
            made += [figure(item, near, under) for item in shown]
            held = one.select(".cell_output .pst-scrollable-table-container")
            parts_of = [part for table in held for part in tables(table)]
            made += [Slide("table", under, titled(under, part)) for part in parts_of]
            if not shown and not held:
                at.get(label(one), made[-1]).below += code(one, under)
        elif one.name == "p" and question(one):
            made.append(Slide("predict", under, question(one)))
        elif one.name in ("ul", "ol") and len(one.find_all("li", recursive=False)) > 2:
            made += [Slide("list", under, titled(under, part)) for part in lists(one)]
        elif one.name != "span":
            latest(made).notes.append(html(one))
    if name in deep:
        made[0].below = flattened(made)[1:]
        return made[:1]
    return made


def label(node: Tag) -> str:
    """Return the anchor of the result that a box, proof or check is about.

    >>> soup = BeautifulSoup('<p id="check-of-lemma-1-2"></p><p id="lemma-1-2">', "html.parser")
    >>> [label(node) for node in soup.select("p")]
    ['lemma-1-2', 'lemma-1-2']
    """
    return re.sub(r"^(proof|check)-of-", "", str(node.get("id", "")))


def flattened(made: list[Slide]) -> list[Slide]:
    """Return slides and those below them in one line."""
    found = []
    for one in made:
        found += [one, *one.below]
        one.below = []
    return found


def latest(made: list[Slide]) -> Slide:
    """Return the slide that comes last, above or below."""
    return made[-1].below[-1] if made[-1].below else made[-1]


def exercise_slides(section: Tag) -> list[Slide]:
    titles = [text(clean(one))[9:] for one in section.select("section.exercise > h3")]
    items = "".join(f"<li>{escape(one, quote=False)}</li>" for one in titles)
    return [Slide("list", "Exercises", f'<h3>Exercises</h3><ul class="plain">{items}</ul>')]


def slides(page: str, book: str) -> list[Slide]:
    """Return the slides of a chapter from its page of the site."""
    soup = BeautifulSoup(page, "html.parser")
    top = soup.select_one("article.bd-article > section")
    if top is None:
        raise ValueError("the page has no article with a section; is it a chapter of the site?")
    places = top.select(".chapter-map li")
    deep = {text(one.select("a")[0]) for one in places if text(one).startswith("○")}
    made, last = title_slide(top, book), []
    for section in top.find_all("section", recursive=False):
        heading = section.find("h2")
        title = text(clean(heading)) if isinstance(heading, Tag) else ""
        if title == "Exercises":
            last += exercise_slides(section)
        elif title == "What the literature says next":
            last[-1].notes += [html(one) for one in blocks(section)[1:]]
        elif title == "Quiz":
            made += [quiz(box, title) for box in section.select(".quiz")]
        else:
            made += section_slides(section, deep)
    made += last
    made[0].body += to_move(made)
    return made


def to_move(made: list[Slide]) -> str:
    """Return a line that says on which slides figures can be moved, as the slides are counted.

    >>> live, depth = Slide("live", "", ""), Slide("section", "", "", below=[Slide("live", "", "")])
    >>> to_move([Slide("title", "", ""), live, depth])
    '<p class="of">Figures to move: <a href="#/1">2</a>, <a href="#/2/1">3.2 (down)</a></p>'
    >>> to_move([Slide("title", "", "")])
    ''
    """
    found = []
    for h, top in enumerate(made):
        for v, one in enumerate([top, *top.below]):
            if one.kind == "live":
                many = f".{v + 1}" if top.below else ""
                down = " (down)" if v else ""
                found.append(f'<a href="#/{h}{f"/{v}" if v else ""}">{h + 1}{many}{down}</a>')
    return f'<p class="of">Figures to move: {", ".join(found)}</p>' if found else ""
