// Shows the contract with Swagger UI, and mends by plugins what it lacks here: whole numbers beyond
// 2^53, one field for the key, labels.

/* global SwaggerUIBundle */

// Unseen where it is shown.
const MARK = "\u2060";

/** Parse JSON, where an integer that JavaScript would round becomes its digits behind a mark. */
function parse(json) {
  return JSON.parse(json, (_, value, context) =>
    Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source
      ? MARK + context.source
      : value,
  );
}

/** Return JSON with such integers as what they are. */
function unmark(json) {
  return json.replace(new RegExp(`"${MARK}([^"]*)"`, "g"), "$1");
}

/** Indent JSON; what is none stays as it is. */
function indent(text) {
  try {
    return unmark(JSON.stringify(parse(text), null, 2));
  } catch {
    return text;
  }
}

/** Return a wrapper that gives an input field a name. */
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
    // The page has these in its own words.
    InfoContainer: nothing,
    ServersContainer: nothing,
    authorizeBtn: nothing,
    authorizeOperationBtn: nothing,
  },
  wrapComponents: {
    ExamplesSelect: labelled(() => "Example"),
    JsonSchema_string: labelled(({ description }) => description),
    TextArea: labelled(() => "Body"),
    // Anything but JSON it shows as it is.
    responseBody: (Original, { React }) => ({ content, ...props }) =>
      React.createElement(Original, { ...props, content: indent(content), contentType: "text/plain" }),
  },
  // Where it makes an example of JSON.
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
  // What a problem's `type` leads to has moved down.
  onComplete: () => document.querySelector(":target")?.scrollIntoView(),
});
document.getElementById("key").addEventListener("input", ({ target }) => {
  if (target.value) ui.preauthorizeApiKey("ApiKey", target.value);
  else ui.authActions.logout(["ApiKey"]);
});
