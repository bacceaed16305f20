// A code exercise tried in the page, and a memory for the quiz. Nothing leaves the browser.
(() => {
  const ROUNDS = 40, DIGITS = 4; // as in book/_ext/portable/answers.py

  // 32 bits that stand for a text.
  const mark = (text) => {
    let found = 2166136261;
    for (let round = 0; round < ROUNDS; round++) {
      for (const letter of text) found = Math.imul(found ^ letter.codePointAt(0), 16777619);
      found ^= found >>> 13;
    }
    return found >>> 0;
  };
  const readable = (words, key) => {
    const bytes = Uint8Array.from(atob(words), (letter) => letter.charCodeAt(0));
    let state = mark(key) | 1;
    for (let k = 0; k < bytes.length; k++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      bytes[k] ^= state & 255;
    }
    return new TextDecoder().decode(bytes);
  };

  // Formulas: + - * / ^ ( ), numbers, pi, e, and functions of one number.
  const FUNCTIONS = { sqrt: Math.sqrt, exp: Math.exp, log: Math.log, ln: Math.log, abs: Math.abs, sin: Math.sin, cos: Math.cos };
  const NAMES = { pi: Math.PI, e: Math.E };
  const valuesOf = (text) => {
    const clean = text.replace(/[−–]/g, "-").replace(/[×·]/g, "*").replace(/\*\*/g, "^").replace(/√/g, "sqrt").replace(/[[\]]/g, "");
    const tokens = clean.match(/\d*\.?\d+(?:e[+-]?\d+)?|[a-z]+|[^\s]/gi) ?? [];
    let at = 0;
    const take = (token) => tokens[at] === token && ++at > 0;
    const atom = () => {
      const token = tokens[at++];
      if (token === "(") {
        const inner = sum();
        if (!take(")")) throw new SyntaxError("a bracket is not closed");
        return inner;
      }
      if (/^[\d.]/.test(token ?? "")) return Number(token);
      if (Object.hasOwn(NAMES, token)) return NAMES[token];
      if (Object.hasOwn(FUNCTIONS, token) && tokens[at] === "(") return FUNCTIONS[token](atom());
      throw new SyntaxError(token === undefined ? "something is missing at the end" : `“${token}” is not understood`);
    };
    const power = () => {
      const base = atom();
      return take("^") ? base ** signed() : base;
    };
    const signed = () => (take("-") ? -signed() : take("+") ? signed() : power());
    const product = () => {
      let found = signed();
      for (;;) {
        if (take("*")) found *= signed();
        else if (take("/")) found /= signed();
        else return found;
      }
    };
    const sum = () => {
      let found = product();
      for (;;) {
        if (take("+")) found += product();
        else if (take("-")) found -= product();
        else return found;
      }
    };
    const values = [sum()];
    while (take(",") || take(";")) values.push(sum());
    if (at < tokens.length) throw new SyntaxError(`“${tokens[at]}” is not understood`);
    return values;
  };

  // What is known about the values: {right, words}, or nothing. A value may be off by one in the last digit.
  const judged = (values, { salt, step, known }) => {
    for (const [place, { marks, words }] of known.entries()) {
      const found = marks.map((wanted, k) => {
        const near = Math.round(values[k] / step);
        return [near, near - 1, near + 1].find((n) => mark(`${salt}/${k}/${n === 0 ? 0 : n}`) === wanted);
      });
      if (found.every((n) => n !== undefined)) {
        return { right: place === 0, words: readable(words, `${salt}:${found.map((n) => (n === 0 ? 0 : n)).join(",")}`) };
      }
    }
    return null;
  };

  const verdict = (text, data) => {
    let values;
    if (!text.trim()) return ["", "Type a number first."];
    try {
      values = valuesOf(text);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return ["", `This is no number yet: ${error.message}.`];
    }
    const needed = data.known[0].marks.length;
    if (values.length !== needed) return ["", `${needed} ${needed > 1 ? "numbers are" : "number is"} asked for, you gave ${values.length}.`];
    if (!values.every(Number.isFinite)) return ["", "This is not a finite number; look for a division by zero."];
    const found = judged(values, data);
    if (found?.right) return ["right", "Right. Your function agrees with the answer here."];
    if (found) return ["wrong", `Not yet. ${found.words}`];
    return ["wrong", `Not yet, and it is none of the usual mistakes. Work the case by hand; ${DIGITS} digits are compared.`];
  };

  const exercises = () => {
    for (const form of document.querySelectorAll("form.try")) {
      const data = JSON.parse(form.dataset.try), output = form.querySelector("output");
      form.hidden = false;
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        [form.dataset.verdict, output.textContent] = verdict(form.querySelector("input").value, data);
      });
    }
    for (const how of document.querySelectorAll(".try-how")) how.hidden = false;
  };

  // The quiz: the first answer to each question, kept by this browser only.
  const KEY = `answers:${location.pathname.split("/").slice(-2).join("/")}`;
  const storage = () => {
    try {
      return window.localStorage;
    } catch (error) {
      if (error.name !== "SecurityError") throw error;
      return null; // the reader forbids it
    }
  };
  const quiz = () => {
    const boxes = [...document.querySelectorAll(".quiz")], store = storage();
    if (!boxes.length || !store) return;
    const answers = JSON.parse(store.getItem(KEY) ?? "{}");
    const tell = document.createElement("p");
    tell.className = "quiz-memory";
    tell.innerHTML = 'Your first answer to each question is kept in this browser only. <button type="button">Forget my answers</button>';
    const show = () => {
      for (const old of document.querySelectorAll(".quiz-first")) old.remove();
      for (const [k, box] of boxes.entries()) {
        const chosen = box.querySelectorAll("details.option")[answers[k] ?? -1];
        if (!chosen) continue;
        const note = document.createElement("span");
        [note.className, note.textContent] = ["quiz-first", " (your first answer)"];
        chosen.querySelector("summary").append(note);
      }
      tell.querySelector("button").disabled = !Object.keys(answers).length;
    };
    for (const [k, box] of boxes.entries()) {
      for (const [j, option] of [...box.querySelectorAll("details.option")].entries()) {
        option.querySelector("summary").addEventListener("click", () => {
          if (k in answers) return;
          answers[k] = j;
          store.setItem(KEY, JSON.stringify(answers));
          show();
        });
      }
    }
    tell.querySelector("button").addEventListener("click", () => {
      for (const k of Object.keys(answers)) delete answers[k];
      store.removeItem(KEY);
      show();
    });
    boxes[0].before(tell);
    show();
  };
  exercises();
  quiz();
})();
