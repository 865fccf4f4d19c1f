// Shows the contract with Swagger UI. Plugins add exact integers beyond 2^53, a single field for
// the key, and labels.

/* global SwaggerUIBundle */

// A zero-width character.
const MARK = "\u2060";

/** Parse JSON; an integer that JavaScript would round becomes a string of MARK and its digits. */
function parse(json) {
  return JSON.parse(json, (_, value, context) =>
    Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source
      ? MARK + context.source
      : value,
  );
}

/** Return JSON with marked strings turned back into integers. */
function unmark(json) {
  return json.replace(new RegExp(`"${MARK}([^"]*)"`, "g"), "$1");
}

/** Indent JSON; return any other text unchanged. */
function indent(text) {
  try {
    return unmark(JSON.stringify(parse(text), null, 2));
  } catch {
    return text;
  }
}

/** Return a wrapper that gives an input field a label. */
function labelled(name) {
  return (Original, { React }) => (props) =>
    React.createElement(
      "label",
      null,
      React.createElement("span", { className: "unseen" }, name(props)),
      React.createElement(Original, props),
    );
}

function nothing() {
  return null;
}

const portal = {
  components: {
    // The page itself has these parts.
    InfoContainer: nothing,
    ServersContainer: nothing,
    authorizeBtn: nothing,
    authorizeOperationBtn: nothing,
  },
  wrapComponents: {
    ExamplesSelect: labelled(() => "Example"),
    JsonSchema_string: labelled(({ description }) => description),
    TextArea: labelled(() => "Body"),
    // Swagger UI shows plain text unchanged.
    responseBody: (Original, { React }) => ({ content, ...props }) =>
      React.createElement(Original, { ...props, content: indent(content), contentType: "text/plain" }),
  },
  // Wraps the function that builds the JSON examples.
  afterLoad() {
    const samples = this.fn.jsonSchema202012;
    const sample = samples.getJsonSampleSchema;
    samples.getJsonSampleSchema = (...which) => {
      const made = sample(...which);
      return typeof made === "string" ? unmark(made) : made;
    };
  },
};

function paint({ matches }) {
  document.documentElement.classList.toggle("dark-mode", matches);
}

const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", paint);
paint(dark);

for (const origin of document.querySelectorAll(".origin")) origin.textContent = location.origin;

const ui = SwaggerUIBundle({
  spec: parse(await (await fetch("/openapi.json")).text()),
  domNode: document.getElementById("contract"),
  plugins: [portal],
  defaultModelsExpandDepth: -1,
  syntaxHighlight: { theme: "monokai" },
  tryItOutEnabled: true,
  validatorUrl: null,
  // The loaded contract has moved the target of a problem's `type` down.
  onComplete: () => document.querySelector(":target")?.scrollIntoView(),
});
document.getElementById("key").addEventListener("input", ({ target }) => {
  if (target.value) ui.preauthorizeApiKey("ApiKey", target.value);
  else ui.authActions.logout(["ApiKey"]);
});
