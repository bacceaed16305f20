// The page of results shows some of them: by chapter, kind and words. Without this script it shows all.
(() => {
  const table = document.querySelector("main table.status");
  const entries = [...document.querySelectorAll("main .entry")].map((node) => ({
    node,
    chapter: node.closest("section").id,
    kind: node.querySelector(".result-title").textContent.split(" ")[0],
    words: node.textContent.toLowerCase(),
  }));
  const chapters = [...new Set(entries.map((one) => one.chapter))].map((id) => document.getElementById(id));
  const kinds = [...new Set(entries.map((one) => one.kind))].sort();

  const form = document.createElement("form");
  form.className = "filter";
  form.setAttribute("role", "search");
  form.setAttribute("aria-label", "Results");
  form.innerHTML = `
    <span><label for="filter-chapter">Chapter</label>
      <select id="filter-chapter" name="chapter"><option value="">all</option></select></span>
    <span><label for="filter-kind">Kind</label>
      <select id="filter-kind" name="kind"><option value="">all</option></select></span>
    <span><label for="filter-words">Words</label>
      <input id="filter-words" name="words" type="search" autocomplete="off"></span>
    <button type="button">Show all</button>
    <output></output>`;
  const { chapter, kind, words } = form.elements;
  for (const one of chapters) chapter.add(new Option(one.querySelector("h2").firstChild.textContent.slice(8), one.id));
  for (const one of kinds) kind.add(new Option(one, one));

  const apply = () => {
    const asked = words.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const one of entries) {
      const fits = (!chapter.value || one.chapter === chapter.value) && (!kind.value || one.kind === kind.value) &&
        asked.every((word) => one.words.includes(word));
      one.node.hidden = !fits;
      shown += fits;
    }
    for (const one of chapters) one.hidden = !one.querySelector(".entry:not([hidden])");
    const text = shown ? `${shown} of ${entries.length} results are shown.` : "No result fits.";
    form.querySelector("output").textContent = text;
  };
  const clear = () => {
    chapter.value = kind.value = words.value = "";
    apply();
  };
  form.addEventListener("input", apply);
  form.querySelector("button").addEventListener("click", clear);
  form.addEventListener("submit", (event) => event.preventDefault());
  // A link to a result that is not shown shows all.
  addEventListener("hashchange", () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target?.closest("[hidden]")) return;
    clear();
    target.scrollIntoView();
  });
  (table.closest(".pst-scrollable-table-container") ?? table).after(form);
  apply();
})();
