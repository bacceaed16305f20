function (id, { parts, frames, alts, values }) {
  for (const figure of document.querySelectorAll(`#${id}:not([data-ready])`)) {
    const [views, inputs] = [[...figure.querySelectorAll(".fl-view")], [...figure.querySelectorAll("input")]];
    const start = views.map((view) => view.innerHTML);
    const show = () => {
      const at = inputs.reduce((sum, input, k) => sum * values[k].length + Number(input.value), 0);
      views.forEach((view, k) => {
        view.innerHTML = frames[k][at]?.map((part) => parts[part]).join("") ?? start[k];
        view.setAttribute("aria-label", alts[at]);
      });
    };
    inputs.forEach((input, k) => input.addEventListener("input", () => {
      const text = values[k][Number(input.value)];
      input.setAttribute("aria-valuetext", text);
      input.parentElement.querySelector("output").textContent = text;
      show();
    }));
    figure.querySelector(".fl-controls").hidden = false;
    figure.dataset.ready = "";
  }
}
