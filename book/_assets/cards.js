// Cards: what a link leads to, shown beside it on hover, on focus and on the first tap. The build wrote one file of
// cards for each page that is linked to; it is loaded when the first of its cards is asked for, also from a folder.
(() => {
  const site = new URL("../", document.currentScript.src).href;
  const files = new Map();
  const card = document.createElement("div");
  if (!card.showPopover) return; // an old browser: links are links
  Object.assign(card, { id: "card", className: "link-card", popover: "manual" });
  card.setAttribute("role", "group");
  window.bookCards = {};
  let link = null; // the link whose card is shown or on its way
  let timer = 0;
  let pointer = "";

  const later = (work, wait) => {
    clearTimeout(timer);
    timer = setTimeout(work, wait);
  };
  const find = (event) => event.target.closest?.("a.has-card");
  const load = (page) => {
    const name = page.replaceAll("/", ".");
    if (!files.has(page)) {
      files.set(page, new Promise((done) => {
        const script = document.createElement("script");
        script.src = `${site}_static/cards/${name}.js`;
        script.onload = script.onerror = () => done(window.bookCards[page]);
        document.head.append(script);
      }));
    }
    return files.get(page);
  };

  const hide = () => {
    clearTimeout(timer);
    if (!link) return;
    link.removeAttribute("aria-describedby");
    link = null;
    card.remove();
  };
  const place = () => {
    const box = link.getClientRects()[0];
    const left = Math.max(8, Math.min(box.left, document.documentElement.clientWidth - card.offsetWidth - 8));
    const below = innerHeight - box.bottom > card.offsetHeight + 8 || box.top < card.offsetHeight + 56;
    const top = below ? box.bottom + 4 : box.top - card.offsetHeight - 4;
    card.style.translate = `${left + scrollX}px ${top + scrollY}px`;
  };
  const show = async (wanted) => {
    if (link === wanted) return;
    hide();
    link = wanted;
    const address = new URL(wanted.href);
    const anchor = decodeURIComponent(address.hash.slice(1));
    address.hash = "";
    const page = decodeURI(address.href.slice(site.length)).replace(/\.html#?$/, "");
    const file = await load(page);
    const content = file?.cards[anchor];
    if (link !== wanted) return; // the reader has gone on
    if (!content) return hide();
    card.innerHTML = `<div class="link-card-body">${content}</div><p class="link-card-more"><a></a></p>`;
    for (const inner of card.querySelectorAll("a[href]")) {
      inner.href = new URL(inner.getAttribute("href"), address);
      inner.classList.remove("has-card"); // no card of a card
    }
    const more = card.querySelector(".link-card-more a");
    more.href = wanted.href;
    more.textContent = `Go to ${file.title}`;
    card.setAttribute("aria-label", `About ${wanted.textContent.trim()}`);
    wanted.after(card); // so that the next Tab goes into it
    wanted.setAttribute("aria-describedby", "card");
    card.showPopover();
    for (const part of card.querySelectorAll(".link-card-body, div.math, pre")) {
      if (part.scrollHeight > part.clientHeight + 1 || part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    }
    place();
  };

  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    const over = find(event);
    if (card.contains(event.target)) clearTimeout(timer);
    else if (over) later(() => show(over), 150);
    else if (link && !link.matches(":focus-visible") && !card.contains(document.activeElement)) later(hide, 300);
    else clearTimeout(timer);
  });
  document.addEventListener("focusin", (event) => {
    const on = find(event);
    if (on?.matches(":focus-visible")) show(on);
    else if (!card.contains(event.target) && event.target !== link) hide();
  });
  document.addEventListener("pointerdown", (event) => {
    pointer = event.pointerType;
    if (!card.contains(event.target) && find(event) !== link) hide();
  });
  document.addEventListener("click", (event) => {
    const on = find(event);
    if (!on || pointer === "mouse" || !event.detail) return;
    if (on === link && card.isConnected) return; // the second tap follows the link
    event.preventDefault();
    show(on);
  });
  document.addEventListener("keydown", (event) => {
    pointer = "mouse";
    if (event.key !== "Escape" || !link) return;
    const back = card.contains(document.activeElement) ? link : null;
    hide();
    back?.focus({ preventScroll: true });
    if (back) hide();
  });
  addEventListener("resize", hide);
  addEventListener("beforeprint", hide);
})();
