"use strict";
// Sorting, filtering and the map's choice. The page says all it has to say without them.
(() => {
  const order = new Intl.Collator("en", { numeric: true });

  function sort(table, column, heads) {
    const head = heads[column];
    const numeric = head.classList.contains("n");
    // Numbers begin with the largest, names with A; a second time turns them round.
    const now = head.getAttribute("aria-sort");
    const ascending = now === "none" ? !numeric : now !== "ascending";
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const key = (row) => {
      const cell = row.cells[column];
      return numeric ? Number(cell.dataset.v) : cell.textContent.trim();
    };
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => [key(row), row]);
    rows.sort(([a], [b]) => (numeric ? a - b : order.compare(a, b)) * (ascending ? 1 : -1));
    body.append(...rows.map(([, row]) => row));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => {
      head.querySelector("button")?.addEventListener("click", () => sort(table, column, heads));
    });
  }

  const classes = document.getElementById("class-table");
  const text = document.getElementById("class-filter");
  const split = document.getElementById("class-split");
  function filter() {
    const wanted = text.value.trim().toLowerCase();
    let shown = 0;
    for (const row of classes.tBodies[0].rows) {
      const there =
        row.cells[0].textContent.toLowerCase().includes(wanted) &&
        (!split || !split.value || row.dataset.split === split.value);
      row.hidden = !there;
      shown += there ? 1 : 0;
    }
    document.getElementById("class-count").textContent = `${shown} of ${classes.tBodies[0].rows.length} rows`;
  }
  if (classes && text) {
    text.addEventListener("input", filter);
    split?.addEventListener("change", filter);
    filter();
  }

  document.getElementById("map-class")?.addEventListener("change", (event) => {
    const chosen = event.target.value;
    for (const dots of document.querySelectorAll("svg.map path")) {
      dots.classList.toggle("faint", chosen !== "" && dots.dataset.class !== chosen);
      dots.classList.toggle("alone", chosen !== "" && dots.dataset.class === chosen);
    }
  });

  for (const form of document.querySelectorAll("form.controls")) {
    form.addEventListener("submit", (event) => event.preventDefault());
  }
})();
