"use strict";
// The dashboard's own script, in a page made of little more than names: `node dashboard.js URL
// TOKEN` ends with code 0 when the page asks for the token, shows nothing before, and then all.
const assert = require("node:assert/strict");
const vm = require("node:vm");

const [url, goodToken] = process.argv.slice(2);
const elements = new Map();

class Element {
  constructor(name) {
    Object.assign(this, { tagName: name.toUpperCase(), textContent: "", className: "", value: "", hidden: false });
    Object.assign(this, { style: {}, children: [], listeners: {}, width: 1536, height: 384 });
  }
  append(...children) { this.children.push(...children); }
  prepend(...children) { this.children.unshift(...children); }
  replaceChildren(...children) { this.children = children; }
  get firstChild() { return this.children[0]; }
  addEventListener(type, listener) { this.listeners[type] = listener; }
  getContext() { return { fillRect() {} }; }
  get text() { return [this.textContent, ...this.children.map((child) => child.text ?? child)].join(" "); }
}

function byId(id) {
  if (!elements.has(id)) {
    elements.set(id, new Element(id));
  }
  return elements.get(id);
}

const storage = new Map();
const page = {
  Node: Element,
  document: { getElementById: byId, createElement: (name) => new Element(name), body: new Element("body") },
  sessionStorage: { getItem: (key) => storage.get(key) ?? null, setItem: (key, value) => storage.set(key, value) },
  fetch: (path, options) => fetch(new URL(path, url), options),
  setTimeout: (run) => setTimeout(run, 20),
  performance,
};

async function until(condition, what) {
  const end = Date.now() + 60000;
  while (!condition()) {
    assert.ok(Date.now() < end, `not within 60 s: ${what}; the page says: ${byId("state").textContent}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function enter(token) {
  byId("token").value = token;
  byId("door").listeners.submit({ preventDefault() {} });
}

async function main() {
  const html = await (await fetch(url)).text();
  assert.ok(!html.includes("127.0.0.1"), "the page itself has data");
  vm.runInNewContext(html.match(/<script>([^]*)<\/script>/)[1], page);
  byId("door").hidden = true;
  await until(() => !byId("door").hidden, "the page asks for a token");
  assert.equal(byId("shards").text.trim(), "");
  enter("not-a-good-token");
  await until(() => byId("state").textContent === "this token is not good", "a wrong token is told");
  assert.equal(byId("shards").text.trim(), "");
  enter(` ${goodToken}\n`);
  await until(() => byId("state").textContent === "ready" && byId("door").hidden, "the page is ready");
  assert.match(byId("shards").text, /s1/);
  assert.match(byId("tiles").text, /requests/);
  assert.equal(byId("token").value, "");
  byId("paths").listeners.click({ target: { tagName: "A", getAttribute: () => "/topology" }, preventDefault() {} });
  await until(() => /"epoch"/.test(page.document.body.text), "a link is followed with the token");
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
