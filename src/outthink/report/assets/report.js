// The interactive parts of the page: tooltips, legends, choosers, theme, and the explorer.
// Figures are in the page as SVG; the explorer builds its own elements, text only by textContent.
"use strict";
(() => {
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const el = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key === "css") made.className = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
};
document.documentElement.classList.add("js");
for (const hidden of $$(".choice[hidden],.save[hidden],.explorer[hidden],#theme")) hidden.hidden = false;

// Theme --------------------------------------------------------------------------------------
const root = document.documentElement;
const THEMES = ["system", "light", "dark"];
const remember = (key, value) => {
  try { // a page opened from disk may have no storage
    if (value === undefined) return localStorage.getItem(key);
    localStorage.setItem(key, value);
  } catch { /* then the theme is forgotten on reload */ }
  return null;
};
const wear = (theme) => {
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  $("#theme").textContent = `Theme: ${theme}`;
};
const stored = remember("outthink-theme");
let theme = THEMES.includes(stored) ? stored : "system";
wear(theme);
$("#theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  wear(theme);
  remember("outthink-theme", theme);
});

// Tooltips ----------------------------------------------------------------------------------
const tip = $("#tip");
let told = null;
const glyph = (css, marker) => {
  const box = el("span");
  // Built from our own class names and numbers; no text of the report is in it.
  const d = $(`#marker-${marker}`).getAttribute("d");
  box.innerHTML = `<svg class="glyph" width="30" height="14" viewBox="0 0 30 14"><path class="line" d="M1,7H29"/>` +
    `<path class="mark" transform="translate(15,7)" d="${d}"/></svg>`;
  box.firstChild.classList.add(...css.split(" "));
  return box;
};
const tell = (hit, x, y) => {
  if (told !== hit) {
    const [title, rows] = JSON.parse(hit.dataset.tip);
    tip.replaceChildren(el("b", {}, title), ...rows.map(([css, marker, label, value]) => el("div", {},
      marker === null ? el("i", { css }) : glyph(css, marker), el("span", {}, label), el("span", { css: "value" }, value))));
    told = hit;
  }
  const { width, height } = tip.getBoundingClientRect();
  const box = hit.getBoundingClientRect();
  const isSmall = innerWidth < 600; // no room beside the finger: below it, or else above
  const isBelow = box.bottom + height + 8 < innerHeight;
  const left = isSmall ? (innerWidth - width) / 2
    : x + 16 + width > innerWidth - 8 ? Math.max(8, x - width - 16) : x + 16;
  const wanted = isSmall ? (isBelow ? box.bottom + 6 : box.top - height - 6) : y - height / 2;
  const top = Math.min(Math.max(8, wanted), innerHeight - height - 8);
  tip.style.transform = `translate(${Math.round(left)}px,${Math.round(top)}px)`;
  tip.classList.add("on");
};
const beside = (hit) => {
  const box = hit.getBoundingClientRect();
  tell(hit, box.left + box.width / 2, box.top + Math.min(box.height / 2, 90));
};
const hush = () => { tip.classList.remove("on"); told = null; };
document.addEventListener("pointermove", (event) => {
  const hit = event.target.closest?.(".hit");
  if (hit) tell(hit, event.clientX, event.clientY);
  else if (told && document.activeElement !== told) hush();
});
document.addEventListener("pointerdown", (event) => {
  const hit = event.target.closest?.(".hit");
  if (hit) tell(hit, event.clientX, event.clientY); else hush();
});
document.addEventListener("focusin", (event) => {
  const hit = event.target.closest?.(".hit");
  if (!hit || !hit.matches(":focus-visible")) return;
  beside(hit);
});
document.addEventListener("focusout", hush);
document.addEventListener("scroll", () => { if (told?.matches(":focus-visible")) beside(told); else hush(); }, { passive: true });

// Tab stops once at each figure or list; arrow keys move inside it.
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
const move = (items, event) => {
  const at = items.indexOf(document.activeElement);
  const to = event.key === "Home" ? 0 : event.key === "End" ? items.length - 1 : at + (STEPS[event.key] ?? 0);
  if (at < 0 || to === at || !items[to]) return false;
  items[at].tabIndex = -1;
  items[to].tabIndex = 0;
  items[to].focus();
  event.preventDefault();
  return true;
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hush();
  const within = event.target.closest?.(".hit")?.closest("svg,.bars");
  if (within) move($$(".hit", within), event);
});

// Legends: show one series only ----------------------------------------------------------------
const alone = (figure, name) => {
  const on = figure.dataset.alone === name ? "" : name;
  if (on) figure.dataset.alone = on; else delete figure.dataset.alone;
  for (const part of $$(".series,.end", figure)) part.classList.toggle("alone", part.dataset.series === on);
  for (const button of $$(".legend button", figure)) button.setAttribute("aria-pressed", button.dataset.series === on);
};
document.addEventListener("click", (event) => {
  const part = event.target.closest?.(".legend button,.end");
  if (part) alone(part.closest("figure"), part.dataset.series);
});

// Choosers -------------------------------------------------------------------------------------
for (const choice of $$(".scale-choice")) choice.addEventListener("change", (event) => {
  choice.closest("figure").classList.toggle("own-scale", event.target.value === "own");
});
for (const choice of $$(".budget-choice")) choice.addEventListener("change", (event) => {
  for (const bars of $$(".bars", choice.closest("figure"))) bars.classList.toggle("on", bars.dataset.budget === event.target.value);
});
for (const choice of $$(".verdict-choice")) choice.addEventListener("change", (event) => {
  for (const claim of $$(".claim")) claim.hidden = event.target.value !== "" && claim.dataset.verdict !== event.target.value;
});
// A link to a claim that the filter hides resets the filter.
const unhide = () => {
  const claim = location.hash.startsWith("#claim-") && document.getElementById(location.hash.slice(1))?.closest(".claim");
  if (!claim || !claim.hidden) return;
  const all = $('.verdict-choice input[value=""]');
  all.checked = true;
  all.dispatchEvent(new Event("change", { bubbles: true }));
  claim.scrollIntoView();
};
addEventListener("hashchange", unhide);
for (const choice of $$(".arrow-choice")) choice.addEventListener("change", () => {
  for (const arrow of $$(".cef", choice.closest("figure"))) arrow.classList.toggle("on", arrow.dataset.cef === choice.value);
});

// Saves a figure as an SVG file, with the computed styles written into it.
const KEPT = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin",
  "opacity", "font-family", "font-size", "font-weight", "font-style", "text-anchor", "paint-order", "display"];
const save = (figure) => {
  const chart = $$("svg.chart", figure).find((svg) => svg.getClientRects().length);
  const copy = chart.cloneNode(true);
  const from = $$("*", chart);
  $$("*", copy).forEach((part, index) => {
    const style = getComputedStyle(from[index]);
    part.setAttribute("style", KEPT.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
  });
  for (const hit of $$(".hit", copy)) hit.remove();
  const { width, height } = chart.viewBox.baseVal;
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  copy.setAttribute("style", `background:${getComputedStyle(document.body).backgroundColor}`);
  const file = new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" });
  const link = el("a", { href: URL.createObjectURL(file), download: `${figure.id}.svg` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
for (const button of $$(".save")) button.addEventListener("click", () => save(button.closest("figure")));

// Explorer -------------------------------------------------------------------------------------
const packed = $("#trees");
if (packed) explore(JSON.parse(packed.textContent));

function explore({ texts, labels, trees }) {
  const CHOSEN = 1, ENDED = 4, CUT = 8, WAS_KEPT = 2;
  const list = $(".problems"), place = $("#tree"), status = $(".explorer .count");
  const number = (value) => value.toLocaleString("en").replace(/,/g, "\u202f");
  const plural = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
  const grade = (tree) => (tree.right === null ? "none" : tree.right ? "right" : "wrong");
  const GRADES = { right: "\u2713 right", wrong: "\u2717 wrong", none: "\u2013 not graded" };
  const badge = (tree) => el("span", { css: `badge ${grade(tree)}` }, GRADES[grade(tree)]);
  const key = (tree) => encodeURIComponent(`${tree.id}@${tree.strategy}@${tree.budget}`);
  for (const tree of trees) tree.haystack = [tree.id, tree.prompt, tree.reference, tree.answer].join("\n").toLowerCase();
  let current = null;

  // The list and its filters.
  const filters = { find: $("#find"), result: $("#result"), bin: $("#bin"), strategy: $("#strategy") };
  const matches = (tree) => tree.haystack.includes(filters.find.value.trim().toLowerCase())
    && (!filters.result.value || grade(tree) === filters.result.value)
    && (!filters.bin.value || String(tree.bin) === filters.bin.value)
    && (!filters.strategy.value || tree.strategy === filters.strategy.value);
  const items = trees.map((tree) => {
    const about = [labels[tree.strategy], `N = ${number(tree.budget)}`];
    if (tree.bin !== null) about.unshift(`bin ${tree.bin}`);
    const link = el("a", { href: `#tree=${key(tree)}`, tabindex: -1 },
      el("span", { css: "line1" }, tree.prompt.replace(/\s+/g, " ").slice(0, 120) || tree.id),
      el("span", { css: "line2" }, badge(tree), ` \u00b7 ${about.join(" \u00b7 ")}`));
    return el("li", {}, link);
  });
  list.append(...items);
  const links = () => items.filter((item) => !item.hidden).map((item) => item.firstChild);
  const reach = () => { // the entry at which Tab stops
    const seen = links();
    for (const link of seen) link.tabIndex = -1;
    const stop = seen.find((link) => link.hasAttribute("aria-current")) ?? seen[0];
    if (stop) stop.tabIndex = 0;
  };
  const filter = () => {
    let shown = 0;
    trees.forEach((tree, index) => { items[index].hidden = !matches(tree); shown += !items[index].hidden; });
    status.textContent = shown ? `${number(shown)} of ${plural(trees.length, "tree")}` : "No tree matches; clear a filter.";
    reach();
  };
  for (const control of Object.values(filters)) control.addEventListener("input", filter);
  list.addEventListener("keydown", (event) => move(links(), event));

  // Siblings with the same text are merged into one step, with the continuations of all.
  const unpack = (tree) => {
    const start = { depth: 0, kids: [], scores: [] };
    const at = new Map([[-1, start]]);
    for (const [id, parent, text, score, flags, answer] of tree.nodes) {
      const above = at.get(parent);
      const state = flags & (ENDED | CUT);
      let node = above.kids.find((kid) => kid.text === text && kid.state === state);
      if (!node) {
        node = { text, state, above, depth: above.depth + 1, kids: [], count: 0, kept: 0, chosen: false, scores: [], answer };
        above.kids.push(node);
      }
      node.count += 1;
      node.kept += Boolean(flags & WAS_KEPT);
      node.chosen ||= Boolean(flags & CHOSEN);
      if (score !== null) node.scores.push(score);
      at.set(id, node);
    }
    const order = (node) => {
      node.score = node.scores.length ? node.scores.reduce((a, b) => a + b) / node.scores.length : null;
      node.kids.sort((a, b) => b.chosen - a.chosen || Boolean(b.kept) - Boolean(a.kept) || best(b) - best(a));
      node.kids.forEach(order);
    };
    order(start);
    return start;
  };
  const best = (node) => (node.scores.length ? Math.max(...node.scores) : -1);
  const hue = (score) => (score === null ? "var(--mid)"
    : score < 0.5 ? `color-mix(in oklab,var(--mid) ${(score * 200).toFixed(0)}%,var(--low))`
    : `color-mix(in oklab,var(--high) ${((score - 0.5) * 200).toFixed(0)}%,var(--mid))`);
  const count = (node) => node.kids.reduce((sum, kid) => sum + kid.count + count(kid), 0);

  // Rows of the outline. On the chosen path, the other steps fold into one row before the chosen one.
  const outline = (start) => {
    const rows = [];
    const add = (row) => { rows.push(row); return row; };
    const walk = (node, above, indent) => {
      const [first, ...others] = node.kids;
      if (!first) return;
      if (!first.chosen) {
        const deeper = node.kids.length > 1 ? indent + 1 : indent;
        for (const kid of node.kids) walk(kid, add({ node: kid, above, indent: deeper, open: false }), deeper);
        return;
      }
      if (others.length) {
        const group = add({ others, above, indent: indent + 1, open: false, depth: first.depth });
        for (const kid of others) walk(kid, add({ node: kid, above: group, indent: indent + 2, open: false }), indent + 2);
      }
      walk(first, add({ node: first, above, indent, open: true }), indent);
    };
    walk(start, null, 0);
    for (const row of rows) if (row.above) row.above.hasKids = true;
    return rows;
  };
  const mark = (css, words) => el("span", { css }, words);
  const scored = (node) => {
    if (node.score === null) return el("span", { css: "score", title: "no score" }, "\u2013");
    const low = Math.min(...node.scores), high = Math.max(...node.scores);
    const box = el("span", { css: "score", title: high - low > 0.005 ? `${low.toFixed(2)} to ${high.toFixed(2)}` : "verifier score" },
      node.score.toFixed(2), el("i"));
    box.style.setProperty("--w", `${(100 * node.score).toFixed(0)}%`);
    box.style.setProperty("--c", hue(node.score));
    return box;
  };
  const marks = (node) => {
    const found = [];
    if (node.chosen) found.push(mark("star", "\u2605 chosen"));
    if (node.count > 1) found.push(mark("", `\u00d7${node.count}`));
    if (!node.kept) found.push(mark("", "pruned"));
    else if (node.kept < node.count) found.push(mark("", `${node.kept} kept`));
    if (node.state & ENDED) found.push(mark("", node.answer === undefined ? "ended, no answer" : `ended: ${node.answer}`));
    if (node.state & CUT) found.push(mark("cut", "cut off"));
    return el("span", { css: "marks" }, ...found.flatMap((each) => [each, " "]));
  };
  const draw = (row) => {
    const { node, others } = row;
    const fold = el("span", { css: "fold", "aria-hidden": "true" }, row.hasKids ? "\u25b8" : "");
    const shared = { role: "treeitem", tabindex: -1, "aria-level": row.node ? node.depth : row.depth,
      "aria-expanded": row.hasKids ? String(row.open) : null };
    let made;
    if (others) {
      const all = others.reduce((sum, kid) => sum + kid.count, 0), kept = others.reduce((sum, kid) => sum + kid.kept, 0);
      const top = Math.max(...others.map(best));
      const words = `${plural(all, "other step")} tried here` + (kept ? `, ${kept} kept` : "") + (top >= 0 ? `, best score ${top.toFixed(2)}` : "");
      made = el("div", { css: "row group", ...shared }, fold, el("span", { css: "text" }, words));
    } else {
      const css = `row${node.chosen ? " chosen" : ""}${node.kept ? "" : " pruned"}`;
      made = el("div", { css, ...shared }, fold, scored(node),
        el("span", {}, el("span", { css: "text" }, texts[node.text].replace(/\s+$/, "") || "\u2424"), " ", marks(node)));
    }
    made.style.setProperty("--indent", row.indent);
    row.made = made;
    made.row = row;
    return made;
  };
  const isSeen = (row) => { for (let up = row.above; up; up = up.above) if (!up.open) return false; return true; };
  const refresh = (rows) => {
    for (const row of rows) {
      row.made.hidden = !isSeen(row);
      if (row.hasKids) row.made.setAttribute("aria-expanded", String(row.open));
    }
  };

  // The map: the whole tree at a glance, depth downwards. The outline has the same in text.
  const map = (start, reveal) => {
    const leaves = [], nodes = [];
    const settle = (node) => {
      if (node.depth) nodes.push(node);
      const [first, ...others] = node.kids; // the chosen path goes down the middle
      const side = (which) => others.filter((_, index) => (index + node.depth) % 2 === which);
      const inOrder = first ? [...side(0), first, ...side(1).reverse()] : [];
      inOrder.forEach(settle);
      if (!first) { node.x = leaves.length; leaves.push(node); }
      else node.x = first.chosen ? first.x : (inOrder[0].x + inOrder.at(-1).x) / 2;
    };
    settle(start);
    const WIDTH = innerWidth < 800 ? 340 : 680;
    const deep = Math.max(...nodes.map((node) => node.depth), 1), step = Math.max(16, Math.min(34, 300 / deep));
    const span = Math.min(WIDTH - 24, 56 * (leaves.length - 1)); // a small tree is drawn narrow
    const across = (node) => WIDTH / 2 + (leaves.length > 1 ? node.x / (leaves.length - 1) - 0.5 : 0) * span;
    const down = (node) => 10 + node.depth * step;
    const radius = Math.max(2, Math.min(5.5, 0.42 * (WIDTH - 24) / Math.max(1, leaves.length)));
    const edges = nodes.map((node) => {
      const [x, y, a, b] = [across(node), down(node), across(node.above), down(node.above)].map((v) => v.toFixed(1));
      const half = ((+y + +b) / 2).toFixed(1);
      return `<path class="edge${node.chosen ? " chosen" : ""}" d="M${a},${b}C${a},${half} ${x},${half} ${x},${y}"/>`;
    });
    const dots = nodes.map((node, index) => `<circle data-i="${index}" class="${node.chosen ? "chosen" : ""}${node.kept ? "" : " pruned"}" ` +
      `cx="${across(node).toFixed(1)}" cy="${down(node).toFixed(1)}" r="${(node.chosen ? radius + 1.2 : radius).toFixed(1)}" style="--c:${hue(node.score)}"/>`);
    const box = el("div", { css: "map", "aria-hidden": "true" });
    box.innerHTML = `<svg viewBox="0 0 ${WIDTH} ${(20 + deep * step).toFixed(0)}">${edges.sort().join("")}` +
      `<circle class="root" cx="${across(start).toFixed(1)}" cy="10" r="3"/>${dots.join("")}</svg>`; // numbers only
    box.addEventListener("click", (event) => {
      const dot = event.target.closest("circle[data-i]");
      if (dot) reveal(nodes[dot.dataset.i]);
    });
    nodes.forEach((node, index) => { node.dot = $(`[data-i="${index}"]`, box); });
    return box;
  };

  const cost = ([generations, prompt, cached, decoded, discarded, verified, recalled]) =>
    `${plural(generations, "generation")} \u00b7 ${number(decoded)} tokens decoded (${number(discarded)} discarded) \u00b7 ` +
    `${number(prompt)} read, ${number(cached)} from cache \u00b7 verifier ${number(verified)}, ${number(recalled)} from cache`;
  const said = (value, none) => (value === null ? el("span", {}, none) : el("span", { css: "text" }, value));

  const open = (tree) => {
    current = tree;
    trees.forEach((each, index) => {
      const link = items[index].firstChild;
      if (each === tree) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
    });
    reach();
    const entry = items[trees.indexOf(tree)];
    const isAbove = entry.offsetTop < list.scrollTop;
    if (isAbove || entry.offsetTop + entry.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = entry.offsetTop - 40;
    const start = unpack(tree), rows = outline(start);
    const holder = el("div", { css: "rows", role: "tree", "aria-label": `Search tree of ${tree.id}` }, ...rows.map(draw));
    const byNode = new Map(rows.filter((row) => row.node).map((row) => [row.node, row]));
    const visible = () => rows.filter((row) => !row.made.hidden);
    const focus = (row) => {
      for (const each of rows) { each.made.tabIndex = -1; each.node?.dot?.classList.remove("at"); }
      row.made.tabIndex = 0;
      row.made.focus();
      row.node?.dot?.classList.add("at");
    };
    const reveal = (node) => {
      const row = byNode.get(node);
      for (let up = row.above; up; up = up.above) up.open = true;
      refresh(rows);
      focus(row);
      row.made.scrollIntoView({ block: "center" });
    };
    const turn = (row, on) => { row.open = on; refresh(rows); };
    const all = (on) => { for (const row of rows) row.open = on || Boolean(row.node?.chosen); refresh(rows); };
    holder.addEventListener("click", (event) => {
      const made = event.target.closest(".row");
      if (!made || String(getSelection())) return; // selecting a text folds nothing
      if (made.row.hasKids) turn(made.row, !made.row.open);
      focus(made.row);
    });
    holder.addEventListener("keydown", (event) => {
      const row = event.target.closest?.(".row")?.row;
      if (!row) return;
      const seen = visible(), at = seen.indexOf(row);
      const go = { ArrowDown: seen[at + 1], ArrowUp: seen[at - 1], Home: seen[0], End: seen.at(-1) }[event.key];
      if (go) focus(go);
      else if (event.key === "ArrowRight" && row.hasKids) { if (row.open) focus(seen[at + 1]); else turn(row, true); }
      else if (event.key === "ArrowLeft") { if (row.hasKids && row.open) turn(row, false); else if (row.above) focus(row.above); }
      else if ((event.key === "Enter" || event.key === " ") && row.hasKids) turn(row, !row.open);
      else return;
      event.preventDefault();
    });
    const button = (words, act) => { const made = el("button", { type: "button", css: "small" }, words); made.addEventListener("click", act); return made; };
    const facts = [
      ["Prompt", said(tree.prompt, "")],
      ["Reference", said(tree.reference, "none")],
      ["Answer", el("span", {}, said(tree.answer, "none given"), "  ", badge(tree))],
      ["Strategy", `${labels[tree.strategy]}, N = ${number(tree.budget)}${tree.bin === null ? "" : `, bin ${tree.bin}`}`],
      ["Cost", cost(tree.usage)],
    ];
    const steps = count(start);
    place.replaceChildren(
      el("h3", {}, tree.id),
      el("dl", { css: "about" }, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      ...(steps ? [
        map(start, reveal),
        el("p", { css: "scale-key" }, el("span", {}, "score 0", el("i", { css: "ramp" }), "1"), el("span", {}, "\u25cf kept"),
          el("span", {}, "\u25cb pruned"), el("span", {}, "thick line: chosen path"), el("span", {}, plural(steps, "step"))),
        el("div", { css: "tree-tools" }, button("Unfold all", () => all(true)), button("Fold to the chosen path", () => all(false)),
          el("a", { css: "small back", href: "#explorer" }, "Back to the list")),
        holder] : [el("p", {}, "No step of this search was stored.")]));
    refresh(rows);
    if (rows[0]) rows[0].made.tabIndex = 0;
  };

  const fromHash = () => {
    const wanted = /^#tree=(.*)$/.exec(location.hash)?.[1];
    if (wanted === undefined) return null;
    const plain = (text) => { try { return decodeURIComponent(text); } catch { return text; } };
    return trees.find((tree) => key(tree) === wanted) ?? trees.find((tree) => tree.id === plain(wanted)) ?? null;
  };
  const follow = () => {
    const tree = fromHash();
    if (!tree) return;
    if (tree !== current) open(tree);
    if (innerWidth < 800) place.scrollIntoView();
    else if (place.getBoundingClientRect().top > innerHeight * 0.8 || place.getBoundingClientRect().bottom < 80) $("#explorer").scrollIntoView();
  };
  addEventListener("hashchange", follow);
  filter();
  open(fromHash() ?? trees[0]);
  if (fromHash()) follow();
}
})();
