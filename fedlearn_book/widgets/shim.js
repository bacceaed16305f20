(render, id, state) => {
  for (const el of document.querySelectorAll(`#${id}:not([data-ready])`)) {
    const [own, heard] = [structuredClone(state), {}];
    const model = {
      get: (name) => own[name],
      set(name, value) {
        if (own[name] === value) return;
        own[name] = value;
        for (const hear of heard[`change:${name}`] ?? []) hear();
      },
      on: (event, hear) => (heard[event] ??= new Set()).add(hear),
      off: (event, hear) => heard[event]?.delete(hear),
      save_changes() {},
    };
    el.replaceChildren();
    el.dataset.ready = "";
    render({ model, el });
  }
}
