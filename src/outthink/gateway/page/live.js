"use strict";
// Requests as they are thought about. All text is set as text, never as markup.
const $ = (id) => document.getElementById(id);
const requests = new Map();
let shown = null, follows = true, pending = false, at = null, key = sessionStorage.getItem("key") || "";

const make = (name, attributes = {}, ...inside) => {
  const svg = ["g", "circle", "path", "text", "title"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...inside);
  return made;
};
const percent = (chance) => `${(100 * chance).toFixed(chance > 0.995 || chance < 0.005 ? 1 : 0)} %`;
const headers = () => (key ? { Authorization: `Bearer ${key}` } : {});

// What happens ------------------------------------------------------------------------------------

function happens(event) {
  if (event.kind === "gateway") { $("model").textContent = event.model; return; }
  if (event.kind === "begin") {
    requests.set(event.request, { ...event, nodes: new Map(), decisions: [], spent: null, end: null });
    if (follows) { shown = event.request; at = null; }
  }
  const one = requests.get(event.request);
  if (!one) return;
  if (event.kind === "wrote") one.nodes.set(event.number, { ...event, score: null, fresh: true });
  if (event.kind === "judged" && one.nodes.has(event.number)) {
    one.nodes.get(event.number).score = event.steps.length ? event.steps[event.steps.length - 1] : null;
  }
  if (event.kind === "decided") one.decisions.push(event);
  if (event.kind === "spent") one.spent = event;
  if (event.kind === "end" || event.kind === "failed") one.end = event;
  if (!pending) { pending = true; requestAnimationFrame(draw); }
}

async function listen() {
  for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
    try {
      const response = await fetch("live", { headers: headers() });
      $("unlock").hidden = response.status !== 401;
      if (response.status === 401) { $("state").textContent = "a key is needed"; return; }
      requests.clear();
      $("state").textContent = "live";
      wait = 500;
      await read(response.body.getReader());
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
    $("state").textContent = "the gateway is gone; trying again";
    await new Promise((go) => setTimeout(go, wait));
  }
}

async function read(reader) {
  const text = new TextDecoder();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + text.decode(value, { stream: true })).split("\n\n");
    rest = parts.pop();
    for (const part of parts) if (part.startsWith("data: ")) happens(JSON.parse(part.slice(6)));
  }
}

// What is drawn -----------------------------------------------------------------------------------

function draw() {
  pending = false;
  $("none").hidden = requests.size > 0;
  $("requests").replaceChildren(...[...requests.values()].reverse().map(entry));
  const one = requests.get(shown);
  $("one").hidden = !one;
  if (!one) return;
  $("prompt").textContent = one.prompt;
  verdict(one);
  spent(one);
  tree(one);
  decisions(one);
  const text = one.end && one.end.text;
  $("whole").hidden = !text;
  $("text").textContent = text || "";
}

function entry(one) {
  const button = make("button", { type: "button", "aria-current": String(one.request === shown) },
    make("b", {}, one.prompt), make("span", {}, `${one.model}: ${state(one)}`));
  button.addEventListener("click", () => { shown = one.request; follows = false; at = null; draw(); });
  return make("li", {}, button);
}

function state(one) {
  if (!one.end) return `thinks, ${one.spent ? one.spent.generations : 0} drawn`;
  if (one.end.kind === "failed") return one.end.why;
  const sure = one.end.probability === null ? "" : `, ${percent(one.end.probability)}`;
  return `${(one.end.answer || "no answer").slice(0, 40)}${sure}`;
}

function verdict(one) {
  const end = one.end, place = $("verdict");
  if (!end) { place.textContent = "thinking"; return; }
  if (end.kind === "failed") { place.textContent = end.why; return; }
  const answer = end.answer === null || end.answer.length > 200 ? null : make("b", {}, end.answer);
  const sure = end.probability === null ? "" : ` right with probability ${percent(end.probability)}`;
  place.replaceChildren(answer || (end.answer === null ? "no answer was found in any text" : "answered"), sure,
    end.late ? ", cut short by its deadline" : "");
}

function spent(one) {
  const told = one.spent || {}, count = (name) => (told[name] || 0).toLocaleString("en");
  const rows = [["generations", count("generations")], ["tokens written", count("decoded_tokens")],
    ["tokens read", count("prompt_tokens")], ["verifier tokens", count("verifier_tokens")],
    ["model", one.model]];
  $("spent").replaceChildren(...rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function decisions(one) {
  $("why").hidden = !one.decisions.length;
  $("decisions").replaceChildren(...one.decisions.map((made) => make("li", {}, explained(made))));
}

function explained(made) {
  const knew = made.probability === null ? "Nothing is known yet"
    : `${made.answer || "No answer"} is right with ${percent(made.probability)} after ${made.generations} generations`;
  if (made.stage === null) return `${knew}: no further stage is worth what it costs, so it answers.`;
  const worth = made.worth === null ? "" : `, which adds ${(100 * made.worth).toFixed(1)} points of probability, its price taken off`;
  return `${knew}: it runs ${made.stage}${worth}.`;
}

// The tree ----------------------------------------------------------------------------------------

const ROW = 24, LEFT = 14;

function tree(one) {
  const children = new Map(), nodes = [...one.nodes.values()].sort((a, b) => a.number - b.number);
  for (const node of nodes) {
    const parent = one.nodes.has(node.parent) ? node.parent : -1;
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(node.number);
  }
  const places = new Map();
  let row = 0, deepest = 0;
  const put = (number, depth) => {
    const under = children.get(number) || [];
    deepest = Math.max(deepest, depth);
    const rows = under.map((child) => put(child, depth + 1));
    const y = rows.length ? (rows[0] + rows[rows.length - 1]) / 2 : row++;
    places.set(number, { x: depth, y });
    return y;
  };
  put(-1, 0);
  const room = $("tree").parentElement.clientWidth, across = Math.max(46, Math.min(150, (room - LEFT - 132) / Math.max(1, deepest)));
  const x = (place) => LEFT + place.x * across, y = (place) => 14 + place.y * ROW;
  const best = new Set();
  for (let n = one.end ? one.end.chosen : null; n !== null && one.nodes.has(n); n = one.nodes.get(n).parent) best.add(n);
  const lines = nodes.map((node) => {
    const from = places.get(one.nodes.has(node.parent) ? node.parent : -1), to = places.get(node.number), half = across / 2;
    return make("path", { class: best.has(node.number) ? "best" : "",
      d: `M${x(from)},${y(from)}C${x(from) + half},${y(from)} ${x(to) - half},${y(to)} ${x(to)},${y(to)}` });
  });
  const start = make("circle", { cx: LEFT, cy: y(places.get(-1)), r: 4 });
  const drawn = $("tree"), had = document.activeElement && drawn.contains(document.activeElement);
  drawn.setAttribute("width", LEFT + deepest * across + 130);
  drawn.setAttribute("height", Math.max(1, row) * ROW + 10);
  if (at === null || !one.nodes.has(at)) at = nodes.length ? (one.end && one.end.chosen !== undefined && one.end.chosen !== null ? one.end.chosen : nodes[0].number) : null;
  drawn.replaceChildren(...lines, start, ...nodes.map((node) => knot(one, node, x(places.get(node.number)), y(places.get(node.number)), best)));
  if (had && at !== null) drawn.querySelector(`[data-number="${at}"]`).focus();
  said(one);
}

function knot(one, node, x, y, best) {
  const shade = node.score === null ? "" : `s${Math.min(9, Math.floor(10 * node.score))}`;
  const score = node.score === null ? "not scored" : `score ${node.score.toFixed(2)}`;
  const ends = node.finished ? `answers ${node.answer || "nothing"}` : node.truncated ? "cut off" : "goes on";
  const made = make("g", { tabindex: node.number === at ? 0 : -1, role: "button", "data-number": node.number,
    class: `${best.has(node.number) ? "chosen" : ""} ${node.truncated ? "cut" : ""} ${node.fresh ? "new" : ""}`,
    "aria-current": String(node.number === at), "aria-label": `${node.number}, ${ends}, ${score}` },
  make("circle", { cx: x, cy: y, r: node.finished ? 7 : 5, class: shade }));
  node.fresh = false;
  if (node.finished && node.answer) made.append(make("text", { x: x + 12, y: y + 4 }, node.answer.length > 16 ? `${node.answer.slice(0, 15)}…` : node.answer));
  made.addEventListener("click", () => { at = node.number; tree(one); });
  made.addEventListener("keydown", (event) => moves(event, one));
  return made;
}

function moves(event, one) {
  const numbers = [...one.nodes.keys()].sort((a, b) => a - b), here = one.nodes.get(at);
  const next = {
    ArrowDown: numbers[numbers.indexOf(at) + 1],
    ArrowUp: numbers[numbers.indexOf(at) - 1],
    ArrowLeft: one.nodes.has(here.parent) ? here.parent : undefined,
    ArrowRight: numbers.find((number) => one.nodes.get(number).parent === at),
  }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  at = next;
  tree(one);
  $("tree").querySelector(`[data-number="${at}"]`).focus();
}

function said(one) {
  const node = one.nodes.get(at);
  if (!node) { $("said").textContent = ""; return; }
  const score = node.score === null ? "" : `, score ${node.score.toFixed(2)}`;
  $("said").textContent = `#${node.number}, ${node.role}, ${node.purpose}, ${node.tokens} tokens${score}\n${node.text}`;
}

// What is asked here -----------------------------------------------------------------------------

$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  follows = true;
  $("refused").textContent = "";
  const body = { model: "auto", messages: [{ role: "user", content: $("question").value }], reasoning_effort: $("effort").value };
  const response = await fetch("v1/chat/completions", { method: "POST", headers: { "Content-Type": "application/json", ...headers() }, body: JSON.stringify(body) });
  if (!response.ok) $("refused").textContent = (await response.json()).error.message;
});
$("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value.trim();
  sessionStorage.setItem("key", key);
  listen();
});
addEventListener("resize", () => { if (requests.has(shown)) draw(); });
listen();
