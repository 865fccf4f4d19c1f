// Renders /openapi.json: a form, samples, the live response and a reference for each operation.
import { SAMPLES, parse, write } from "./samples.js";

const contract = parse(await (await fetch("/openapi.json")).text());

// --- Elements -------------------------------------------------------------------------------------

/** Return an element; attributes that are functions listen to the event of their name. */
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children.flat(2).filter(Boolean));
  return element;
}

const TOKENS = new RegExp(
  [
    String.raw`(?<comment>(?<=^|\s)//.*)`,
    String.raw`(?<name>"(?:\\.|[^"\\\n])*"(?=: ))`,
    String.raw`(?<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|${"`[^`]*`"}|(?<=[( ])/.+/(?=g?[,.]))`,
    String.raw`(?<number>(?<![\w.:])-?\d[\d.]*\b)`,
    String.raw`(?<word>\b(?:as|await|const|curl|defer|else|except|from|func|if|import|new|null|nil|package|print|try|true|false|with)\b)`,
  ].join("|"),
  "gm",
);

/** Split code into texts and coloured elements. */
function highlight(code) {
  const parts = [];
  let end = 0;
  for (const { 0: text, index, groups } of code.matchAll(TOKENS)) {
    const kind = Object.keys(groups).find((name) => groups[name]);
    parts.push(code.slice(end, index), h("span", { class: kind }, text));
    end = index + text.length;
  }
  return [...parts, code.slice(end)];
}

/** Return a block of code that the keyboard can scroll. */
const block = (attributes, text = "") =>
  h("pre", { class: "code", tabindex: 0, role: "group", ...attributes }, highlight(text));

/** Return the paragraphs of a description; backticks mark code. */
const prose = (text) =>
  (text ?? "").trim().split(/\n\n+/).filter(Boolean).map((paragraph) =>
    h("p", {}, paragraph.split("`").map((part, at) => (at % 2 ? h("code", {}, part) : part))));

const badge = (method) => h("b", { class: `method ${method}` }, method.toUpperCase());

const link = (href, ...label) => h("li", {}, h("a", { href }, label));

function copyButton(what, text) {
  const click = async ({ currentTarget: button }) => {
    // Browsers allow it only on HTTPS and localhost.
    const done = await navigator.clipboard?.writeText(text()).then(() => true, () => false);
    button.textContent = done ? "Copied" : "Cannot copy here";
    setTimeout(() => button.replaceChildren("Copy"), 2000);
  };
  return h("button", { type: "button", class: "copy", "aria-label": `Copy ${what}`, click }, "Copy");
}

// --- The contract ---------------------------------------------------------------------------------

const unescape = (part) => part.replaceAll("~1", "/").replaceAll("~0", "~");

/** Follow references; members beside a reference win. */
function resolve({ $ref, ...own } = {}) {
  const target = $ref?.slice(2).split("/").reduce((at, part) => at[unescape(part)], contract);
  return target ? { ...resolve(target), ...own } : own;
}

const content = (message) => Object.entries(resolve(message).content ?? {})[0] ?? [];

const examples = ({ example, examples: several = { example: { value: example } } } = {}) =>
  Object.entries(several).map(([name, one]) => [one.summary ?? name, one.value])
    .filter(([, value]) => value !== undefined);

/** Yield name, schema and necessity of each member, nested ones included. */
function* members(node, prefix = "", depth = 3) {
  const { properties = {}, required = [], items } = resolve(node);
  if (items && prefix) yield* members(items, prefix.replace(/\.$/, "[]."), depth);
  for (const [name, one] of Object.entries(depth ? properties : {})) {
    yield [prefix + name, resolve(one), required.includes(name)];
    yield* members(one, `${prefix}${name}.`, depth - 1);
  }
}

/** Return a schema's type and limits in words. */
function describe({ type = "any", format, const: only, enum: choices, items }) {
  if (only !== undefined || choices) return (choices ?? [only]).map((one) => write(one)).join(" | ");
  const inner = items ? ` of ${describe(resolve(items))}` : "";
  return `${type}${inner}${format ? ` (${format})` : ""}`;
}

/** Return a number's limits, unless its format implies them. */
const range = ({ format, minimum, maximum }) =>
  format ? "" : [minimum !== undefined && `from ${minimum}`, maximum !== undefined && `to ${maximum}`]
    .filter(Boolean).join(" ");

// --- The form -------------------------------------------------------------------------------------

let count = 0;

/** Return a form's field; `where` is a parameter's `in`, or `body` or `key`. */
function field(where, name, schema, required, text = schema.description) {
  const id = `field-${(count += 1)}`;
  const input = h("input", { id, class: where, "aria-describedby": `${id}-error ${id}-hint`,
    placeholder: where === "key" ? "YOUR_KEY" : "",
    autocapitalize: "off", autocomplete: "off", spellcheck: "false", input: () => refuse() });
  const error = h("p", { id: `${id}-error`, class: "error" });
  function refuse(detail = "") {
    error.textContent = detail;
    input.setAttribute("aria-invalid", Boolean(detail));
  }
  const type = [where === "key" ? `header ${name}` : describe(schema), required && "required"];
  return {
    where, name, schema, input, refuse,
    element: h("div", { class: "field" },
      h("label", { for: id }, where === "key" ? "API key" : name || "Body"),
      h("span", { class: "faint" }, type.filter(Boolean).join(" · ")),
      input, error,
      h("div", { id: `${id}-hint`, class: "faint" }, prose(text), prose(range(schema)))),
  };
}

const KEY_USE = "Sent only to this API, and never stored. Keep the key on your server: anyone who " +
  "can read it can use it.";

/** Return an operation's fields. */
function fieldsOf({ path, parameters = [], requestBody, security = contract.security ?? [] }) {
  const [, body] = content(requestBody);
  const inBody = [...members(body?.schema, "", 1)];
  if (body && !inBody.length) inBody.push(["", resolve(body.schema), true]);
  return [
    ...security.flatMap(Object.keys).map((scheme) =>
      field("key", contract.components.securitySchemes[scheme].name, {}, true, KEY_USE)),
    ...inBody.map((one) => field("body", ...one)),
    ...[...(contract.paths[path].parameters ?? []), ...parameters].map(resolve).map((one) =>
      field(one.in, one.name, resolve(one.schema), one.required, one.description)),
  ];
}

/** Return typed text as JSON, digit by digit; anything but JSON becomes a string. */
function json(text, { type }) {
  try {
    parse(text);
    return type === "string" ? JSON.stringify(text) : text;
  } catch {
    return JSON.stringify(text);
  }
}

/** Return the request that the fields describe. */
function read(fields, { path, method, requestBody }, placeholders) {
  const [type, body] = content(requestBody);
  const [query, headers, inBody] = [new URLSearchParams(), {}, []];
  for (const { where, name, schema, input } of fields) {
    const text = input.value.trim() || (placeholders && input.placeholder);
    if (!text) continue;
    if (where === "query") query.append(name, text);
    else if (where === "path") path = path.replace(`{${name}}`, encodeURIComponent(text));
    else if (where !== "body") headers[name] = text;
    else inBody.push((name && `${JSON.stringify(name)}: `) + json(text, schema));
  }
  if (type) headers["Content-Type"] = type;
  const isObject = resolve(body?.schema).properties;
  return {
    method: method.toUpperCase(), headers,
    url: location.origin + path + (query.size ? `?${query}` : ""),
    body: type && (isObject ? `{${inBody.join(", ")}}` : inBody.join()),
  };
}

// --- Request and response -------------------------------------------------------------------------

let language = "curl";

/** Show the samples of a language in all operations. */
function choose(name) {
  language = name;
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.setAttribute("aria-selected", tab.textContent === name);
    tab.tabIndex = tab.textContent === name ? 0 : -1;
  }
  document.dispatchEvent(new Event("draw"));
}

/** Return the panel with an operation's request in each language. */
function requestPanel(fields, operation, success) {
  const id = `${operation.operationId}-request`;
  const names = Object.keys(SAMPLES);
  const keydown = ({ key, currentTarget }) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (!step) return;
    choose(names.at((names.indexOf(language) + step) % names.length));
    currentTarget.querySelector("[aria-selected=true]").focus();
  };
  const code = block({ id, role: "tabpanel", "aria-label": "Request" });
  const answer = [...members(success?.schema, "", 1)];
  document.addEventListener("draw", () => {
    const request = { ...read(fields, operation, true), answer };
    code.replaceChildren(...highlight(SAMPLES[language](request)));
  });
  const tab = (name) => h("button", {
    type: "button", role: "tab", "aria-controls": id, click: () => choose(name),
  }, name);
  return h("div", { class: "panel" },
    h("div", { class: "bar" },
      h("div", { role: "tablist", "aria-label": "Language", keydown }, names.map(tab)),
      copyButton("request", () => code.textContent)),
    code);
}

/** Return the panel with an operation's response, and a function that sends the request. */
function responsePanel(fields, operation, success) {
  const status = h("strong", { role: "status" });
  const facts = h("span", { class: "facts" });
  const headers = h("dl", {});
  const code = block({ "aria-label": "Response" });
  const panel = h("div", { class: "panel" },
    h("div", { class: "bar" }, status, facts, copyButton("response", () => code.textContent)),
    headers, code);

  function show(title, ok, text, fact, shownHeaders = []) {
    status.textContent = title;
    status.className = ok ? "good" : "bad";
    facts.replaceChildren(fact);
    headers.replaceChildren(...shownHeaders.map(([name, value]) =>
      h("div", {}, h("dt", {}, name), h("dd", {}, h("code", {}, value),
        name === "x-request-id" && copyButton("request id", () => value)))));
    code.replaceChildren(...highlight(text));
  }

  async function send(event) {
    event.preventDefault();
    for (const one of fields) one.refuse();
    const begin = performance.now();
    let response, text;
    try {
      const { url, ...options } = read(fields, operation);
      const limit = { credentials: "omit", signal: AbortSignal.timeout(10_000) };
      response = await fetch(url, { ...options, ...limit });
      text = await response.text();
    } catch ({ message }) {
      return show("No response", false, message, "");
    }
    const duration = `${Math.round(performance.now() - begin)} ms`;
    let answer = {};
    try {
      answer = parse(text);
      text = write(answer, 2);
    } catch {
      // Not JSON: shown as it is.
    }
    // The contract names the headers that matter.
    const { headers: documented } = resolve(operation.responses[response.status]);
    const names = new Set(["X-Request-Id", "Content-Type", ...Object.keys(documented ?? {})]);
    const shown = [...names].map((name) => [name.toLowerCase(), response.headers.get(name)]);
    const title = response.statusText || answer.title || "";
    show(`${response.status} ${title}`, response.ok, text, duration, shown.filter((one) => one[1]));
    panel.scrollIntoView({ block: "nearest" });
    if (answer.type) facts.append(h("a", { href: answer.type }, "What to do"));
    for (const { pointer, detail } of answer.errors ?? []) {
      const name = unescape(pointer.split("/")[1] ?? "");
      fields.find((one) => one.where === "body" && one.name === name)?.refuse(detail);
    }
  }

  const [example] = examples(success);
  show("Example response", true, example ? write(example[1], 2) : "", "");
  return [panel, send];
}

// --- The reference --------------------------------------------------------------------------------

function responseDetails([status, message]) {
  const { description, headers = {} } = resolve(message);
  const [, body] = content(message);
  const about = Object.entries(headers).map(([name, header]) => {
    const { schema, description: text } = resolve(header);
    return [name, { ...resolve(schema), description: text }, false];
  });
  return h("details", {},
    h("summary", {}, h("b", { class: status < "400" ? "good" : "bad" }, status), ` ${description}`),
    h("dl", {}, [...about, ...members(body?.schema)].map(([name, schema]) => [
      h("dt", {}, h("code", {}, name), h("span", { class: "faint" }, describe(schema))),
      h("dd", { class: "faint" }, prose(schema.description)),
    ])),
    examples(body).map(([name, value]) =>
      [h("p", { class: "faint" }, name), block({ "aria-label": name }, write(value, 2))]));
}

function section(operation) {
  const { operationId: id, method, path, summary, description, responses } = operation;
  const fields = fieldsOf(operation);
  const [, success] = content(Object.entries(responses).find(([status]) => status < "300")?.[1]);
  const [panel, send] = responsePanel(fields, operation, success);
  const ready = examples(content(operation.requestBody)[1]);
  const fill = (value) => {
    for (const { input, name } of fields.filter(({ where }) => where === "body")) {
      const one = name ? value[name] : value;
      input.value = typeof one === "string" ? one : (write(one) ?? "");
    }
    document.dispatchEvent(new Event("draw"));
  };
  if (ready.length) fill(ready[0][1]);

  const needed = fields.filter(({ schema, where }) => where === "key" || where === "path");
  const inBody = fields.filter(({ where }) => where === "body");
  const other = fields.filter((one) => !needed.includes(one) && !inBody.includes(one));
  const elements = (some) => some.map(({ element }) => element);
  return h("section", { id, class: "operation" },
    h("div", {},
      h("h2", {}, summary),
      h("p", { class: "route" }, badge(method), h("code", {}, path)),
      prose(description),
      h("form", { novalidate: "", submit: send, input: redraw },
        elements(needed),
        h("div", { class: "fields" }, elements(inBody)),
        other.length && h("details", {}, h("summary", {}, "More parameters"), elements(other)),
        h("div", { class: "actions" },
          h("button", { class: "send" }, "Send request"),
          ready.length > 1 && ["Examples:", ready.map(([name, value]) =>
            h("button", { type: "button", click: () => fill(value) }, name))]))),
    h("div", { class: "live" }, requestPanel(fields, operation, success), panel),
    h("div", { class: "responses" },
      h("h3", {}, "Responses"), Object.entries(responses).map(responseDetails)));
}

/** Give all operations the same key, and show the typed values in the samples. */
function redraw({ target }) {
  if (target.className === "key")
    for (const key of document.querySelectorAll("input.key")) key.value = target.value;
  document.dispatchEvent(new Event("draw"));
}

// --- The page -------------------------------------------------------------------------------------

const METHODS = ["get", "post", "put", "patch", "delete"];
const operations = Object.entries(contract.paths).flatMap(([path, item]) =>
  METHODS.filter((method) => item[method]).map((method) => ({ ...item[method], method, path })));
document.getElementById("operations").replaceChildren(...operations.map(section));
document.getElementById("operation-links").append(...operations.map(
  ({ operationId, method, summary }) => link(`#${operationId}`, badge(method), summary)));
document.getElementById("problem-links").append(...Array.from(
  document.querySelectorAll("#problems section"),
  (problem) => link(`#${problem.id}`, problem.querySelector("h3").textContent)));
for (const one of document.querySelectorAll(".origin")) one.textContent = location.origin;
choose(language);

// The operations have moved the address's target down.
document.getElementById(location.hash.slice(1))?.scrollIntoView();

const menu = document.getElementById("menu");
menu.addEventListener("click", ({ target }) => target.closest("a") && menu.hidePopover?.());

// Marks the section in view in the menu.
const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries)
    menu.querySelector(`li [href="#${target.id}"]`)?.toggleAttribute("aria-current", isIntersecting);
}, { rootMargin: "-10% 0px -85%" });
for (const one of document.querySelectorAll("main section[id]")) observer.observe(one);
