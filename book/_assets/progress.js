// What somebody has read, and where they left: kept in this browser (localStorage), sent nowhere.
(() => {
  const KEY = "personal-and-parsimonious";
  let store;
  try {
    store = window.localStorage;
  } catch {
    return; // a browser that keeps nothing shows nothing of this
  }
  if (!store) return;
  const root = new URL(document.documentElement.dataset.content_root, location.href);
  const page = location.pathname.slice(root.pathname.length);
  // { last: page, pages: { page: { title, at: id, name, read: [id, …] } } }
  const load = () => JSON.parse(store.getItem(KEY) ?? '{"pages": {}}');
  const save = (change) => {
    const all = load();
    change(all);
    store.setItem(KEY, JSON.stringify(all));
  };
  const make = (tag, words, more = {}) => Object.assign(document.createElement(tag), { textContent: words }, more);

  const begin = document.querySelector(".front-buttons a");
  const last = load().last;
  if (begin && last) {
    const { at, chapter, name } = load().pages[last];
    begin.href = new URL(`${last}#${at}`, root).href;
    begin.title = name;
    (begin.querySelector("span") ?? begin).textContent = `Continue chapter ${chapter}`;
  }

  const place = document.querySelector(".read-place");
  if (!place) return;
  const marks = [...document.querySelectorAll(".read-mark")];
  const nameOf = (id) => document.querySelector(`.chapter-map a[href="#${id}"]`).textContent;
  const own = () => load().pages[page] ?? { read: [] };
  const change = (edit) => save((all) => edit((all.pages[page] ??= { read: [] }), all));

  const show = () => {
    const { at, read } = own();
    for (const mark of marks) mark.querySelector("input").checked = read.includes(mark.dataset.section);
    for (const link of document.querySelectorAll(".chapter-map a, .bd-toc-nav a")) {
      const id = decodeURIComponent(link.hash.slice(1));
      link.closest("li").toggleAttribute("data-read", read.includes(id));
    }
    place.replaceChildren(make("span", `Marked as read: ${read.length} of ${marks.length} sections, in this browser only.`));
    if (at) place.append(make("a", `Continue: ${nameOf(at)}`, { href: `#${at}` }));
    if (at || read.length) {
      const forget = place.appendChild(make("button", "Forget", { type: "button" }));
      forget.addEventListener("click", () => {
        save((all) => {
          delete all.pages[page];
          if (all.last === page) delete all.last;
        });
        show();
        place.tabIndex = -1;
        place.focus();
      });
    }
  };

  for (const mark of marks) {
    const id = mark.dataset.section;
    const input = make("input", "", { type: "checkbox" });
    input.addEventListener("change", () => {
      change((here) => {
        here.read = here.read.filter((one) => one !== id);
        if (input.checked) here.read.push(id);
      });
      show();
    });
    const label = make("label", "");
    label.append(input, `I have read “${nameOf(id)}”`);
    mark.append(label);
  }
  show();

  // Where they left: the last section of the map whose heading is above the middle of the window.
  let seen = own().at;
  const look = () => {
    const above = marks
      .map((mark) => document.getElementById(mark.dataset.section))
      .filter((section) => section.getBoundingClientRect().top < innerHeight / 2);
    const now = above.at(-1)?.id;
    if (!now || now === seen) return;
    seen = now;
    const chapter = Number(page.match(/\d+/)[0]);
    change((here, all) => {
      Object.assign(here, { at: now, name: nameOf(now), chapter });
      all.last = page;
    });
  };
  let waiting = 0;
  addEventListener("scroll", () => {
    clearTimeout(waiting);
    waiting = setTimeout(look, 500);
  }, { passive: true });
})();
