"use strict";
// Without scripts all tables are shown in full; this adds sorting and filtering.
document.documentElement.classList.add("script");

for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  headers.forEach((header, column) => {
    if (header.classList.contains("plain")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const isNumber = header.classList.contains("num");
      const value = (row) => {
        const text = row.cells[column].textContent.trim();
        return isNumber ? Number.parseFloat(text) : text;
      };
      // Numbers begin with the highest, names with A; a second click reverses the order.
      const before = header.getAttribute("aria-sort");
      const ascending = before ? before === "descending" : !isNumber;
      const compare = (a, b) => {
        if (!isNumber) return a.localeCompare(b, "en", { numeric: true });
        if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
        return a - b;
      };
      const keyed = [...body.rows].map((row) => [value(row), row]);
      keyed.sort((a, b) => (ascending ? compare(a[0], b[0]) : compare(b[0], a[0])));
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      body.append(...keyed.map(([, row]) => row));
    });
  });
}

const table = document.getElementById("sequence-table");
const form = document.querySelector("form.filters");
const count = document.querySelector(".count");
const columnOf = {};
for (const header of table.tHead.rows[0].cells) {
  if (header.dataset.column) columnOf[header.dataset.column] = header.cellIndex;
}
const tests = [...table.tBodies[0].rows].map((row) => {
  const cells = Object.entries(columnOf).map(([name, column]) => [name, row.cells[column].textContent.trim()]);
  const values = Object.fromEntries(cells);
  return { row, values, text: Object.values(values).join(" ").toLowerCase(), wrong: values.right.includes("wrong") };
});
for (const select of form.querySelectorAll("select")) {
  const values = [...new Set(tests.map((test) => test.values[select.name]))];
  values.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  select.append(...values.map((value) => new Option(value, value)));
}

function filter() {
  const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = [...form.querySelectorAll("select")].filter((select) => select.value);
  let shown = 0;
  let wrong = 0;
  for (const test of tests) {
    const fits =
      (!form.elements.errors.checked || test.wrong) &&
      chosen.every((select) => test.values[select.name] === select.value) &&
      words.every((word) => test.text.includes(word));
    test.row.hidden = !fits;
    shown += fits;
    wrong += fits && test.wrong;
  }
  count.textContent = `${shown} of ${tests.length} shown, ${wrong} of them wrong`;
}

form.hidden = false;
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));
filter();

for (const link of document.querySelectorAll(".confusion a")) {
  link.addEventListener("click", () => {
    form.reset();
    for (const name of ["truth", "prediction"]) {
      const { options } = form.elements[name];
      for (const option of options) option.selected = option.value === link.dataset[name];
    }
    filter();
  });
}
