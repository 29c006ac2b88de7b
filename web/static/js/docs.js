// Renders /api/openapi.json with DOM calls only: the policy allows neither inline script nor markup from text.
"use strict";

const root = document.getElementById("docs");
const words = root.dataset;

function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

function schemaName(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(schemaName).join(" | ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `[${schemaName(schema.items)}]`;
  const limits = [];
  if (schema.maxLength !== undefined) limits.push(`≤ ${schema.maxLength}`);
  if (schema.minimum !== undefined) limits.push(`≥ ${schema.minimum}`);
  if (schema.maximum !== undefined) limits.push(`≤ ${schema.maximum}`);
  return [schema.format || schema.type || "any", ...limits].join(" ");
}

function resolve(schema, spec) {
  const name = schema && schema.$ref ? schema.$ref.split("/").pop() : null;
  return name ? spec.components.schemas[name] : schema;
}

function row(name, type, required, text) {
  return element(
    "tr", "",
    element("td", "", element("code", "", name), required ? element("small", "", ` ${words.required}`) : ""),
    element("td", "", element("code", "", type)),
    element("td", "", text || ""),
  );
}

function table(title, rows) {
  if (!rows.length) return null;
  return element("section", "stack", element("h3", "", title), element("div", "scroll", element("table", "fields", element("tbody", "", ...rows))));
}

function bodyTable(operation, spec) {
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  if (!content) return null;
  const schema = resolve(content.schema, spec);
  const required = schema.required || [];
  const rows = Object.entries(schema.properties || {}).map(([name, property]) =>
    row(name, schemaName(property), required.includes(name), property.description));
  return table(words.body, rows);
}

function answerRows(operation) {
  return Object.entries(operation.responses).map(([status, answer]) => {
    const content = Object.values(answer.content || {})[0];
    return row(status, content ? schemaName(content.schema) : "–", false, answer.description);
  });
}

function access(operation) {
  const ways = operation.security || [];
  if (!ways.length) return words.open;
  const bearer = ways.find((way) => way.bearer);
  if (!bearer) return words.session;
  return bearer.bearer.length ? `${words.scope} ${bearer.bearer.join(", ")}` : words.signedIn;
}

function operationCard(path, method, operation, spec) {
  const summary = element(
    "summary", "",
    element("span", `method ${method}`, method.toUpperCase()),
    element("code", "path", path),
    element("span", "title", operation.summary),
    element("span", "chip", access(operation)),
  );
  const parameters = (operation.parameters || []).map((item) =>
    row(item.name, `${item.in} · ${schemaName(item.schema)}`, item.required, item.description));
  const parts = [
    operation.description ? element("p", "", operation.description) : null,
    table(words.parameters, parameters),
    bodyTable(operation, spec),
    table(words.answers, answerRows(operation)),
  ].filter(Boolean);
  const card = element("details", "card operation", summary, element("div", "body stack", ...parts));
  card.id = operation.operationId;
  return card;
}

function render(spec) {
  const groups = new Map();
  for (const [path, item] of Object.entries(spec.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const tag = (operation.tags && operation.tags[0]) || "";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operationCard(path, method, operation, spec));
    }
  }
  const intro = spec.info.description.split("\n\n").map((text) => element("p", "", text.replaceAll("`", "")));
  const sections = [...groups].map(([tag, cards]) => element("section", "stack", element("h2", "", tag), ...cards));
  root.replaceChildren(element("h1", "", `${spec.info.title} API ${spec.info.version}`), ...intro, ...sections);
  const wanted = location.hash && document.getElementById(location.hash.slice(1));
  if (wanted) {
    wanted.open = true;
    wanted.scrollIntoView();
  }
}

fetch(root.dataset.source, { headers: { Accept: "application/json" } })
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(String(answer.status)))))
  .then(render)
  .catch(() => root.replaceChildren(element("p", "alert warn", words.failed)));
