"use strict";
// Sort a table by a column: numbers by value with absent ones last, text by its letters; equal rows keep their order.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      const sign = down ? -1 : 1;
      const isNumber = head.classList.contains("number");
      const key = (row) => {
        const cell = row.cells[column];
        return isNumber ? (cell.dataset.value === "" ? NaN : Number(cell.dataset.value)) : cell.textContent;
      };
      const rows = [...body.rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => {
        if (isNumber) {
          if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
          return sign * (a < b ? -1 : a > b ? 1 : 0);
        }
        return sign * a.localeCompare(b, "en", { numeric: true });
      });
      body.append(...rows.map(([, row]) => row));
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
    });
  });
}
// Show only the rows that hold every word of the search field, in any column.
for (const field of document.querySelectorAll('input[type="search"]')) {
  const rows = [...field.closest("figure").querySelector("tbody").rows];
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
}
