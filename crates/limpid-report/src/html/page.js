"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
      const order = new Intl.Collator("en", { numeric: true }).compare;
      const rows = [...body.rows].sort((a, b) => order(key(a), key(b)) * (down ? -1 : 1));
      body.append(...rows);
    });
  });
}
for (const section of document.querySelectorAll("section.findings")) {
  const rows = [...section.querySelectorAll("tbody tr")];
  if (rows.length === 0) continue;
  const controls = section.querySelector(".controls");
  controls.hidden = false;
  const [text, severity, fixable] = controls.querySelectorAll("input[type=search], select, input[type=checkbox]");
  const shown = controls.querySelector("output");
  const filter = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const content = row.textContent.toLowerCase();
      row.hidden = Number(row.dataset.severity) < Number(severity.value) ||
        (fixable.checked && row.dataset.fixable !== "1") || !words.every((word) => content.includes(word));
      count += row.hidden ? 0 : 1;
    }
    shown.textContent = `${count} of ${rows.length}`;
  };
  controls.addEventListener("input", filter);
  filter();
}
