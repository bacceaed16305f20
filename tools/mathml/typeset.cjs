// Formulas in, MathML out: one JSON object a line, in the order in which they come.
const temml = require(`${process.argv[2]}/temml/dist/temml.cjs`);

require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { tex, display } = JSON.parse(line);
  const options = { displayMode: display, wrap: display ? "none" : "tex", throwOnError: true, strict: false };
  let answer;
  try {
    answer = { mathml: temml.renderToString(tex, options) };
  } catch (error) {
    if (error.name !== "ParseError") throw error;
    answer = { error: error.message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
});
