"use strict";
// Without this script everything is shown; with it sections are tabs, one plot shows at a time, and tables sort.
const order = new Intl.Collator("en", { numeric: true });

function compare(a, b, sign) {
  const [x, y] = [a, b].map((cell) => (cell.dataset.key === undefined ? NaN : Number(cell.dataset.key)));
  if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1; // what is missing stays below
  return sign * (Number.isNaN(x) ? order.compare(a.textContent, b.textContent) : x - y);
}

function sort(table, head) {
  const isUp = head.ariaSort !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.ariaSort = isUp ? "ascending" : "descending";
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compare(a.cells[head.cellIndex], b.cells[head.cellIndex], isUp ? 1 : -1));
  table.tBodies[0].append(...rows);
}

function enhance(table) {
  const title = table.getAttribute("aria-label");
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 2) return;
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, head));
    head.append(button);
  }
  if (table.closest(".glance")) return;
  const tools = document.createElement("div");
  const input = Object.assign(document.createElement("input"), { type: "search", placeholder: "Filter rows" });
  const count = document.createElement("output");
  tools.className = "tools";
  input.setAttribute("aria-label", `Filter ${title}`);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  });
  tools.append(input, count);
  table.parentElement.before(tools);
}

document.querySelectorAll("table").forEach(enhance);

// Tabs: the section of the address shows, and what is folded around it opens.
const sections = [...document.querySelectorAll("main > section")];
const links = [...document.querySelectorAll("nav a")];

function go() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const shown = (target && target.closest("main > section")) || sections[0];
  for (const section of sections) section.hidden = section !== shown;
  for (const link of links) {
    if (link.hash === `#${shown.id}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!target || target === shown) return;
  for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  target.scrollIntoView();
}

// One plot of several.
for (const group of document.querySelectorAll(".switch")) {
  const buttons = [...group.children];
  const choose = (chosen) => {
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button === chosen));
      document.getElementById(button.getAttribute("aria-controls")).hidden = button !== chosen;
    }
  };
  buttons.forEach((button) => button.addEventListener("click", () => choose(button)));
  choose(buttons[0]);
}

// Claims of one state, or all.
for (const group of document.querySelectorAll(".filter")) {
  const claims = [...group.parentElement.querySelectorAll(".claim")];
  const choices = [["all", () => true], ["supported", (state) => state === "supported"],
    ["refuted", (state) => state === "refuted"], ["open", (state) => state === "open" || state === "equivalent"],
    ["not measured", (state) => state === "unmeasured"]];
  const buttons = choices.map(([name, test]) => {
    const n = claims.filter((claim) => test(claim.dataset.state)).length;
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: `${name} (${n})` });
    button.addEventListener("click", () => {
      buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      claims.forEach((claim) => (claim.hidden = !test(claim.dataset.state)));
    });
    return button;
  });
  buttons[0].setAttribute("aria-pressed", "true");
  group.append(...buttons);
}

addEventListener("hashchange", go);
if (sections.length) go();
// Paper does not unfold.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
