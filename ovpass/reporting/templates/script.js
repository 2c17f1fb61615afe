"use strict";
// Everything can be read without this: it sorts and filters, copies, and moves over the map with arrow keys.
document.documentElement.classList.remove("no-js");

const MANY = 500; // rows of which a filter waits until the typing stops
const every = (selector, within = document) => Array.from(within.querySelectorAll(selector));

function sortRows(table, column, descending) {
  const body = table.tBodies[0];
  const keyed = Array.from(body.rows, (row) => {
    const cell = row.cells[column];
    const text = cell.dataset.sort ?? cell.textContent.trim();
    return { row, text, empty: text === "", number: text === "" ? NaN : Number(text) };
  });
  const numeric = keyed.every((entry) => entry.empty || !Number.isNaN(entry.number));
  const collator = new Intl.Collator("en", { numeric: true });
  keyed.sort((a, b) => {
    if (a.empty || b.empty) return a.empty - b.empty;
    const order = numeric ? a.number - b.number : collator.compare(a.text, b.text);
    return descending ? -order : order;
  });
  body.append(...keyed.map((entry) => entry.row));
}

for (const table of every("table.sortable")) {
  const heads = every("thead th", table), rows = Array.from(table.tBodies[0].rows);
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next === null) return table.tBodies[0].append(...rows);
      head.setAttribute("aria-sort", next ?? "ascending");
      sortRows(table, column, next === "descending");
    });
  });
}

for (const tools of every("form.tools")) {
  const rows = every("tbody tr", document.getElementById(tools.dataset.table));
  let texts = null;
  const count = tools.querySelector("output");
  const filter = () => {
    const words = tools.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = every("select", tools).filter((select) => select.value !== "");
    texts ??= rows.map((row) => row.textContent.toLowerCase());
    let shown = 0;
    rows.forEach((row, i) => {
      const hit = words.every((word) => texts[i].includes(word)) && chosen.every((s) => row.dataset[s.name] === s.value);
      row.hidden = !hit;
      shown += hit;
    });
    count.textContent = `${shown} of ${rows.length} shown`;
  };
  let waiting;
  tools.addEventListener("input", () => {
    clearTimeout(waiting);
    if (rows.length > MANY) waiting = setTimeout(filter, 150);
    else filter();
  });
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.querySelector("button").addEventListener("click", (event) => {
    const names = every("tbody tr:not([hidden]) .name", document.getElementById(tools.dataset.table));
    copy(names.map((name) => name.textContent).join("\n"), event.currentTarget);
  });
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.dataset.label ??= button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = button.dataset.label), 1200);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.copy");
  if (button) copy(document.getElementById(button.dataset.of)?.textContent ?? button.parentElement.querySelector(".name").textContent, button);
});

// A cell leads to its row, whatever the filter hides.
document.addEventListener("click", (event) => {
  const cell = event.target.closest("a.cell");
  const row = cell && document.getElementById(cell.hash.slice(1));
  if (!row?.hidden) return;
  const tools = document.querySelector(`form.tools[data-table="${row.closest("table").id}"]`);
  tools.reset();
  row.hidden = false; // at once: it is gone to before a filter that waits
  tools.dispatchEvent(new Event("input"));
});

const tip = document.getElementById("tip");

function showTip(cell) {
  if (cell.title) {
    cell.setAttribute("aria-label", cell.title);
    cell.removeAttribute("title");
  }
  tip.textContent = cell.getAttribute("aria-label");
  tip.hidden = false;
  const box = cell.getBoundingClientRect();
  const left = Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 12);
  tip.style.left = `${Math.max(8, left) + scrollX}px`;
  tip.style.top = `${(box.bottom + tip.offsetHeight + 12 > innerHeight ? box.top - tip.offsetHeight - 6 : box.bottom + 6) + scrollY}px`;
}

function neighbour(cells, from, dx, dy) {
  const middle = (cell) => {
    const box = cell.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  };
  const [x, y] = middle(from);
  let best = from, nearest = Infinity;
  for (const cell of cells) {
    const [cx, cy] = middle(cell);
    const along = (cx - x) * dx + (cy - y) * dy, aside = Math.abs((cx - x) * dy) + Math.abs((cy - y) * dx);
    if (along > 1 && along + 4 * aside < nearest) [best, nearest] = [cell, along + 4 * aside];
  }
  return best;
}

for (const map of every(".map")) {
  const cells = every("a.cell", map);
  cells.forEach((cell, i) => (cell.tabIndex = i ? -1 : 0));
  for (const type of ["pointerover", "focusin"]) map.addEventListener(type, (event) => event.target.matches("a.cell") && showTip(event.target));
  for (const type of ["pointerout", "focusout"]) map.addEventListener(type, () => (tip.hidden = true));
  map.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape") tip.hidden = true;
    if (!step || !event.target.matches("a.cell")) return;
    event.preventDefault();
    const next = neighbour(cells, event.target, ...step);
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}

// Another budget: the plan that it allows, and what that leaves out.
for (const simulator of every("[data-what-if]")) {
  const { stops, chosen, orders } = JSON.parse(simulator.dataset.whatIf);
  const slider = simulator.querySelector("input"), said = simulator.querySelector("output"), list = simulator.querySelector("ol");
  const cells = [];
  for (const cell of every("i[data-place]", simulator)) cells[cell.dataset.place] = cell;
  const show = () => {
    const stop = stops[slider.value], order = orders[stop.size], out = order.slice(0, stop.left);
    const text = `${stop.budget}: ${stop.text}${Number(slider.value) === chosen ? " (tune chose this plan)" : ""}.`;
    said.textContent = `From ${text}`;
    slider.setAttribute("aria-valuetext", text);
    for (const cell of cells) cell.dataset.w = "never";
    for (const place of order) cells[place].dataset.w = "on";
    for (const place of out) cells[place].dataset.w = "out";
    list.replaceChildren(...out.map((place) => {
      const link = Object.assign(document.createElement("a"), { href: list.dataset.rows + place, textContent: cells[place].title, className: "name" });
      const item = document.createElement("li");
      item.append(link, ` ${cells[place].dataset.about}`);
      return item;
    }));
  };
  slider.addEventListener("input", show);
  show();
}

// A table as CSV: what is shown of it, without the names of buttons. A leading = + - @ in text is no formula.
function asCsv(table) {
  const quoted = (cell) => {
    const copy = cell.cloneNode(true);
    every("button.copy", copy).forEach((button) => button.remove());
    const text = copy.textContent.replace(/\s+/g, " ").replace("↕", "").trim();
    const safe = /^[=+@-]/.test(text) && !/^[-+]?[\d.]/.test(text) ? `'${text}` : text;
    return `"${safe.replaceAll('"', '""')}"`;
  };
  return Array.from(table.rows).filter((row) => !row.hidden).map((row) => Array.from(row.cells, quoted).join(",")).join("\r\n");
}

for (const table of every("main table")) {
  const link = Object.assign(document.createElement("a"), { className: "csv", textContent: "Export as CSV", href: "data:text/csv," });
  const label = table.parentElement.getAttribute("aria-label") ?? "table";
  link.download = `${label.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.csv`;
  link.setAttribute("aria-label", `Export as CSV: ${label}`);
  link.addEventListener("click", () => (link.href = `data:text/csv;charset=utf-8,${encodeURIComponent(asCsv(table))}`));
  table.parentElement.after(link);
}

let opened = [];
addEventListener("beforeprint", () => {
  opened = every("details:not([open])");
  opened.forEach((details) => (details.open = true));
});
addEventListener("afterprint", () => opened.forEach((details) => (details.open = false)));
