// The search: ranks the places of the index and shows them, on the page "Search" and in the dialog of Ctrl+K.
(() => {
  const { words, wanted, spans, marked } = window.bookSearch;
  const SHOWN = 20;
  const WINDOW = 220; // characters of an excerpt
  const root = new URL(document.documentElement.dataset.content_root, location.href);
  const flat = (text) => ` ${words(text).join(" ")} `;
  const places = window.searchIndex.places.map(([number, anchor, title, kind, text]) => {
    const [address, name, rank] = window.searchIndex.pages[number];
    const own = kind === "name" ? title.split(".").at(-1) : title;
    const body = flat(own === title ? text : `${title} ${text}`);
    return { address, name, rank, anchor, title, kind, text, head: flat(own), stem: wanted(own).join(" "), body, page: flat(name) };
  });

  // What a place is worth: its title first, then its text; chapters before what the build generated.
  const RANK = [60, 30, 0];
  const KIND = { page: 40, result: 40, term: 40, section: 20, name: 10, work: 0, proof: -20 };
  const count = (text, word) => text.split(` ${word}`).length - 1;
  const worth = (place, query) => {
    const phrase = ` ${query.join(" ")}`;
    const titled = query.filter((word) => place.head.includes(` ${word}`)).length;
    let sum = RANK[place.rank] + KIND[place.kind] + 20 * titled;
    if (titled === query.length) sum += 150;
    if (place.head.includes(phrase)) sum += 50;
    if (place.stem === query.join(" ")) sum += 50;
    if (place.body.includes(phrase)) sum += 30;
    for (const word of query) sum += Math.min(count(place.body, word), 5);
    return sum;
  };

  const holds = (place, word) => [place.head, place.body].some((text) => text.includes(` ${word}`));
  const joined = (place, word) => [place.head, place.body].some((text) => text.replaceAll(" ", "").includes(word));

  // All places with every word of a query, the best first; where there is none, those with some of them.
  const find = (text) => {
    const query = wanted(text);
    if (!query.length) return { query, found: [], all: true };
    const tests = query.map((word) => {
      const known = places.some((place) => holds(place, word));
      return (place) => (known || word.length < 5 ? holds(place, word) : joined(place, word));
    });
    const named = (place, at) => place.page.includes(` ${query[at]}`);
    let kept = places.filter((place) => {
      const own = tests.map((test) => test(place));
      return own.some(Boolean) && own.every((has, at) => has || named(place, at));
    });
    const all = kept.length > 0;
    if (!all) kept = places.filter((place) => tests.some((test) => test(place)));
    const found = kept.map((place) => [worth(place, query), place]);
    return { query, all, found: found.sort((one, two) => two[0] - one[0]).map(([, place]) => place) };
  };

  // The piece of a text that holds most of the words.
  const excerpt = (text, query) => {
    const found = spans(text, query);
    const inside = ([from]) => found.filter(([at, to]) => at >= from && to <= from + WINDOW - 40).length;
    const best = found.reduce((top, one) => (inside(one) > inside(top) ? one : top), found[0] ?? [0]);
    const room = text.length - WINDOW;
    let from = Math.max(0, Math.min(best[0] - 60, room));
    if (from) from = text.indexOf(" ", from) + 1;
    const to = from >= room ? text.length : text.lastIndexOf(" ", from + WINDOW);
    return `${from ? "… " : ""}${text.slice(from, to)}${to < text.length ? " …" : ""}`;
  };

  const element = (name, className, ...children) => {
    const made = Object.assign(document.createElement(name), { className });
    made.append(...children);
    return made;
  };
  const shown = (place, query, text) => {
    const link = element("a", "", marked(place.kind === "page" ? place.name : place.title, query));
    const address = new URL(place.address, root);
    address.searchParams.set("highlight", text.trim());
    address.hash = place.anchor;
    link.href = address;
    const item = element("li", `found-${place.kind}`, link);
    if (place.kind !== "page") item.append(element("span", "where", place.name));
    if (place.text) item.append(element("p", "", marked(excerpt(place.text, query), query)));
    return item;
  };

  const said = ({ query, found, all }) => {
    if (!query.length) return "";
    if (!found.length) return "Nothing found. Fewer words, or the first letters of one, may find more.";
    const number = `${found.length} ${found.length === 1 ? "place" : "places"}`;
    return all ? number : `No place has all of these words; ${number} with some of them`;
  };

  const attach = (input, holder) => {
    const status = element("p", "said");
    status.setAttribute("role", "status");
    const list = element("ol", "found");
    const more = Object.assign(element("button", "more"), { type: "button", hidden: true });
    holder.append(status, list, more);
    let now = find("");
    const show = (from) => {
      const next = now.found.slice(from, from + SHOWN).map((place) => shown(place, now.query, input.value));
      list.append(...next);
      more.hidden = now.found.length <= from + SHOWN;
      more.textContent = `Show ${Math.min(SHOWN, now.found.length - from - SHOWN)} more`;
      return next;
    };
    const update = () => {
      now = find(input.value);
      list.replaceChildren();
      status.textContent = said(now);
      show(0);
    };
    input.addEventListener("input", update);
    const address = new URL(location.href);
    if (holder.id === "search-results") {
      input.value = address.searchParams.get("q") ?? "";
      input.addEventListener("input", () => {
        address.searchParams.set("q", input.value);
        history.replaceState(null, "", address);
      });
      input.focus();
    }
    more.addEventListener("click", () => show(list.children.length)[0].querySelector("a").focus());
    holder.parentElement.addEventListener("keydown", (event) => {
      const stops = [input, ...list.querySelectorAll("a")];
      const at = stops.indexOf(document.activeElement) + { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!(at < stops.length && at >= 0)) return;
      event.preventDefault();
      stops[at].focus();
    });
    update();
  };

  window.bookSearch = { ...window.bookSearch, find, excerpt, attach };
})();
