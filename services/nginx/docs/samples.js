// Code samples: one function for each language tab, from a request to its text.

/** Parse JSON with exact integers. The JavaScript sample shows the source of this function. */
export const parse = (json) =>
  JSON.parse(
    json.replace(/"(\\.|[^"\\])*"|[-+.\w]+/g, (token) =>
      /^-?\d{16,}$/.test(token) ? `"${token}n"` : token,
    ),
    (_, value) =>
      /^-?\d{16,}n$/.test(value) ? BigInt(value.slice(0, -1)) : value,
  );

/** Return JSON, with all digits of each BigInt. */
export const write = (value, space) =>
  JSON.stringify(value, (_, part) => (typeof part === "bigint" ? `${part}n` : part), space).replace(
    /"(-?\d{16,})n"/g,
    "$1",
  );

// JSON's strings are also valid in JavaScript, Python and Go.
const quote = JSON.stringify;
const single = (text) => `'${text.replace(/[\\']/g, "\\$&")}'`;
const shell = (text) => (/^[\w:/.-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
const lines = (...parts) => parts.flat().filter((part) => part || part === "").join("\n");
const each = (headers, line) => Object.entries(headers).map(([name, value]) => line(name, value));
const block = (begin, inner, end) => (inner.length ? [begin, ...inner, end] : []);

function curl({ method, url, headers, body }) {
  const implied = body === undefined ? "GET" : "POST";
  return [
    `curl -s ${method === implied ? "" : `-X ${method} `}${shell(url)}`,
    ...each(headers, (name, value) => `-H ${shell(`${name}: ${value}`)}`),
    ...(body === undefined ? [] : [`-d ${shell(body)}`]),
  ].join(" \\\n  ");
}

function python({ method, url, headers, body }) {
  return lines(
    "import json",
    "from urllib.error import HTTPError",
    "from urllib.request import Request, urlopen",
    "",
    "request = Request(",
    `    ${quote(url)},`,
    `    method=${quote(method)},`,
    block("    headers={", each(headers, (...one) => `        ${one.map((part) => quote(part)).join(": ")},`), "    },"),
    body && `    data=${single(body)}.encode(),`,
    ")",
    "try:",
    "    with urlopen(request, timeout=5) as response:",
    "        print(json.load(response))",
    "except HTTPError as problem:",
    "    print(problem.read().decode())",
  );
}

function script({ method, url, headers, body, answer }, typed) {
  const integers = answer.some(([, { type }]) => type === "integer");
  const types = { integer: "number | bigint", number: "number", string: "string" };
  const members = answer.map(([name, { type }]) => `${name}: ${types[type] ?? "unknown"}`);
  const annotation = typed ? `: { ${members.join("; ")} }` : "";
  return lines(
    integers && "// Integers beyond 2^53 become BigInt; JSON.parse alone would round them.",
    integers && `const parse = ${parse};`.replace("(json)", typed ? "(json: string)" : "(json)"),
    integers && "",
    `const response = await fetch(${quote(url)}, {`,
    `  method: ${quote(method)},`,
    block("  headers: {", each(headers, (...one) => `    ${one.map((part) => quote(part)).join(": ")},`), "  },"),
    body && `  body: ${single(body)},`,
    "  signal: AbortSignal.timeout(5000),",
    "});",
    "const text = await response.text();",
    "if (response.ok) {",
    `  const answer${annotation} = ${integers ? "parse" : "JSON.parse"}(text);`,
    "  console.log(answer);",
    "} else {",
    "  console.log(text);",
    "}",
  );
}

function go({ method, url, headers, body }) {
  const text = body?.includes("`") ? quote(body) : `\`${body}\``;
  return lines(
    "package main",
    "",
    "import (",
    '\t"fmt"',
    '\t"io"',
    '\t"log"',
    '\t"net/http"',
    body && '\t"strings"',
    '\t"time"',
    ")",
    "",
    "func main() {",
    body && `\tbody := strings.NewReader(${text})`,
    `\turl := ${quote(url)}`,
    `\trequest, err := http.NewRequest(${quote(method)}, url, ${body ? "body" : "nil"})`,
    "\tif err != nil {",
    "\t\tlog.Fatal(err)",
    "\t}",
    each(headers, (name, value) => `\trequest.Header.Set(${quote(name)}, ${quote(value)})`),
    "",
    "\tclient := http.Client{Timeout: 5 * time.Second}",
    "\tresponse, err := client.Do(request)",
    "\tif err != nil {",
    "\t\tlog.Fatal(err)",
    "\t}",
    "\tdefer response.Body.Close()",
    "\tanswer, err := io.ReadAll(response.Body)",
    "\tif err != nil {",
    "\t\tlog.Fatal(err)",
    "\t}",
    "\tfmt.Println(string(answer))",
    "}",
  );
}

export const SAMPLES = {
  curl,
  Python: python,
  JavaScript: (request) => script(request, false),
  TypeScript: (request) => script(request, true),
  Go: go,
};
