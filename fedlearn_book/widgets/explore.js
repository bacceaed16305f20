function (id, { frames, alts, values }) {
  for (const figure of document.querySelectorAll(`#${id}:not([data-ready])`)) {
    const [image, inputs] = [figure.querySelector("img"), [...figure.querySelectorAll("input")]];
    const start = image.src;
    const show = () => {
      const at = inputs.reduce((sum, input, k) => sum * values[k].length + Number(input.value), 0);
      image.src = frames[at] ? `data:image/webp;base64,${frames[at]}` : start;
      image.alt = alts[at];
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
