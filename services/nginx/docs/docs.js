// Builds the part to try the API from its contract.
// Numbers stay text all the way: JavaScript would round those beyond 2^53.

const METHODS = ["get", "head", "post", "put", "patch", "delete"];
const SHOWN_HEADERS = [
  "X-Request-Id",
  "Retry-After",
  "RateLimit",
  "RateLimit-Policy",
  "WWW-Authenticate",
  "Allow",
];

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;
const MARK = "\ue000";
const MARKED = new RegExp(`"${MARK}([^"]*)"`, "g");
// A string, a sign, or a word: a number, true, false or null.
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** Parse JSON, with each number as a string that begins with a mark. */
function parse(json) {
  const mark = (token) => (token.startsWith('"') ? token : `"${MARK}${token}"`);
  return JSON.parse(json.replace(STRING_OR_NUMBER, mark));
}

/** Encode what `parse` returned. */
function encode(value) {
  return JSON.stringify(value).replace(MARKED, "$1");
}

/** Indent JSON; what is none stays as it is. */
function indent(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let laidOut = "";
  let depth = 0;
  let previous = "";
  for (const [token] of text.matchAll(TOKEN)) {
    const opened = previous === "{" || previous === "[";
    const closes = token === "}" || token === "]";
    if (opened) depth += 1;
    if (closes) depth -= 1;
    // An empty object or array stays on its line.
    if (opened !== closes || previous === ",") laidOut += `\n${"  ".repeat(depth)}`;
    laidOut += token === ":" ? ": " : token;
    previous = token;
  }
  return laidOut;
}

function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

/** Show an answer's status and what it means, the headers a caller acts on, and the body. */
function present(answer, response, meaning, text) {
  const status = meaning ? `${response.status}: ${meaning}` : `${response.status}`;
  answer.replaceChildren(element("p", status, `status ${response.ok ? "good" : "bad"}`));

  const headers = document.createElement("dl");
  for (const name of SHOWN_HEADERS.filter((name) => response.headers.has(name))) {
    headers.append(element("dt", name), element("dd", response.headers.get(name)));
  }
  answer.append(headers);

  if (text === "") {
    answer.append(element("p", "No body.", "note"));
    return;
  }
  const json = /json/.test(response.headers.get("Content-Type"));
  answer.append(element("pre", json ? indent(text) : text));

  const anchor = /^\{"type":"\/docs(#[a-z-]+)"/.exec(text);
  if (anchor) {
    const link = element("a", "What this means and what to do");
    link.href = anchor[1];
    answer.append(link);
  }
}

/** Return the form to try one operation. */
function form(contract, path, method, operation) {
  const resolve = (node) =>
    node?.$ref ? node.$ref.slice(2).split("/").reduce((at, name) => at[name], contract) : node;

  const made = document.getElementById("operation").content.cloneNode(true).firstElementChild;
  const find = (selector) => made.querySelector(selector);
  const verb = method.toUpperCase();
  find(".method").textContent = verb;
  find(".path").textContent = path;
  find(".summary").textContent = operation.summary;
  find("button").setAttribute("aria-label", `Send ${verb} ${path}`);

  const content = resolve(operation.requestBody)?.content ?? {};
  const [mediaType, media] = Object.entries(content)[0] ?? [];
  const body = find("textarea");
  if (mediaType) {
    const example = media.example ?? resolve(Object.values(media.examples ?? {})[0])?.value;
    if (example !== undefined) body.value = indent(encode(example));
  } else {
    find(".body").remove();
  }

  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = find(".answer");
    answer.replaceChildren(element("p", "Waiting …", "note"));
    try {
      const request = { method: verb, headers: {}, cache: "no-store", credentials: "omit" };
      if (mediaType) {
        request.headers["Content-Type"] = mediaType;
        request.body = body.value;
      }
      const key = document.getElementById("key").value;
      if (operation.security?.length && key) request.headers["X-Api-Key"] = key;
      const response = await fetch(path, request);
      const meaning = resolve(operation.responses[response.status])?.description;
      present(answer, response, meaning, await response.text());
    } catch (error) {
      answer.replaceChildren(element("p", `No answer: ${error.message}`, "status bad"));
    }
  });
  return made;
}

document.getElementById("origin").textContent = location.origin;
const tryIt = document.getElementById("try-it");
try {
  const contract = parse(await (await fetch("/openapi.json")).text());
  for (const [path, item] of Object.entries(contract.paths)) {
    for (const method of METHODS.filter((method) => method in item)) {
      tryIt.append(form(contract, path, method, item[method]));
    }
  }
  document.getElementById("credentials").hidden = false;
} catch (error) {
  tryIt.append(element("p", `The contract cannot be read: ${error.message}`, "status bad"));
}
