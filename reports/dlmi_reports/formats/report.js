"use strict";
// Without this script the tables are complete; with it they sort and filter.
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
// Paper does not unfold.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
