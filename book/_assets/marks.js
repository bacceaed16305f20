// Words: where a text holds those that were searched for. Marks them on the page that a result leads to, and opens
// the search itself (search.js and its index) only when somebody asks for it.
(() => {
  const assets = new URL(".", document.currentScript.src);
  const PARTS = /\p{Lu}?[\p{Ll}\p{M}]+|\p{Lu}+(?!\p{Ll})|\p{L}+|\d+(?:\.\d+)*/gu;
  const COMMON = new Set("a an and are by for how in is it of on or the to what where which why with".split(" "));
  const bare = (text) => text.normalize("NFKD").replace(/\p{M}+/gu, "");

  // The words of a text; SplitLBI, split_lbi and Split-LBI are the same two.
  const words = (text) => (bare(text).match(PARTS) ?? []).map((word) => word.toLowerCase());

  // The words of a query, without those that are everywhere and without the s of a plural.
  const wanted = (query) => {
    const all = words(query).map((word) => (word.length > 3 ? word.replace(/(?<![su])s$/, "") : word));
    const rare = all.filter((word) => !COMMON.has(word));
    return rare.length ? rare : all;
  };

  // [start, end] of each run of words in a text that begin as one of those wanted does; "splitlbi" begins "Split LBI".
  const spans = (text, query) => {
    const found = [];
    const parts = [...text.matchAll(PARTS)];
    const close = (from, to) => to - from <= 1 && !/[^\s_-]/.test(text.slice(from, to));
    const end = (part) => part.index + part[0].length;
    const reaches = (at, word) => {
      let [joined, last] = ["", at - 1];
      while (joined.length < word.length && last + 1 < parts.length) {
        if (joined && !close(end(parts[last]), parts[last + 1].index)) return 0;
        joined += bare(parts[++last][0]).toLowerCase();
        if (!joined.startsWith(word.slice(0, joined.length))) return 0;
      }
      return joined.startsWith(word) ? end(parts[last]) : 0;
    };
    parts.forEach((part, at) => {
      const to = Math.max(...query.map((word) => reaches(at, word)));
      const last = found.at(-1);
      if (!to || (last && last[1] >= to)) return;
      if (last && close(last[1], part.index)) last[1] = to;
      else found.push([part.index, to]);
    });
    return found;
  };

  // A text as nodes, with its spans marked.
  const marked = (text, query) => {
    const made = document.createDocumentFragment();
    let at = 0;
    for (const [from, to] of spans(text, query)) {
      const mark = Object.assign(document.createElement("span"), { className: "highlighted" });
      mark.textContent = text.slice(from, to);
      made.append(text.slice(at, from), mark);
      at = to;
    }
    made.append(text.slice(at));
    return made;
  };

  const SILENT = "math, svg, script, style, button, select, output, .headerlink, .visually-hidden";
  const mark = (root, query) => {
    const own = (node) => (node.matches?.("section") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT, own);
    const texts = [];
    while (walker.nextNode()) if (walker.currentNode.data) texts.push(walker.currentNode);
    for (const text of texts) {
      if (text.data.trim() && !text.parentElement.closest(SILENT) && spans(text.data, query).length) {
        text.replaceWith(marked(text.data, query));
      }
    }
  };

  const unmark = () => {
    for (const one of document.querySelectorAll("article span.highlighted")) {
      const parent = one.parentNode;
      one.replaceWith(...one.childNodes);
      parent.normalize();
    }
    document.querySelector(".marks-note")?.remove();
    const address = new URL(location.href);
    address.searchParams.delete("highlight");
    history.replaceState(null, "", address);
  };

  const arrive = () => {
    const article = document.querySelector("article");
    const query = wanted(new URLSearchParams(location.search).get("highlight") ?? "");
    if (!article || !query.length) return;
    const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const place = named ?? article.querySelector("section") ?? article;
    mark(place, query);
    if (place.matches("dt") && place.nextElementSibling) mark(place.nextElementSibling, query);
    const found = [...article.querySelectorAll("span.highlighted")];
    if (found.length && found.every((one) => one.closest("details"))) found[0].closest("details").open = true;
    const note = Object.assign(document.createElement("button"), { type: "button", className: "marks-note" });
    note.textContent = `Remove ${found.length} mark${found.length === 1 ? "" : "s"} (Esc)`;
    note.addEventListener("click", unmark);
    if (found.length) article.append(note);
  };
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.querySelector(".marks-note")) unmark();
  });

  // The search: loaded once, at the first focus of a field for it.
  const script = (name) =>
    new Promise((done, failed) => {
      const one = Object.assign(document.createElement("script"), { src: new URL(name, assets), async: false });
      one.addEventListener("load", done);
      one.addEventListener("error", failed);
      document.head.append(one);
    });
  let loaded;
  const search = (input, holder) => {
    loaded ??= Promise.all([script("search-index.js"), script("search.js")]);
    return loaded.then(() => window.bookSearch.attach(input, holder));
  };

  window.bookSearch = { words, wanted, spans, marked };
  const box = document.querySelector(".search-button__search-container");
  const field = box?.querySelector("input");
  field?.addEventListener("focus", () => {
    box.append(Object.assign(document.createElement("div"), { className: "search-dialog" }));
    search(field, box.lastChild);
  }, { once: true });
  for (const [name, value] of [["role", "dialog"], ["aria-modal", "true"], ["aria-label", "Search"]]) {
    box?.setAttribute(name, value);
  }
  const wrapper = box?.parentElement;
  const close = () => wrapper.classList.remove("show");
  box?.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !box.contains(event.relatedTarget)) close();
  });
  box?.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target !== field) close();
  });
  const page = document.querySelector(".book-search");
  if (page) search(page.querySelector("input"), document.getElementById("search-results"));
  arrive();
})();
