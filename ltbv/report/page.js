// Tables sort by a click on a header and show the rows one asks for. Without this script they are whole and in order.
(() => {
  "use strict";
  const words = new Intl.Collator("en", { numeric: true });
  const create = (name, parent, fields) => Object.assign(parent.appendChild(document.createElement(name)), fields);

  // Numbers by their exact value, words as one reads them; cells without either always last.
  function compare(a, b, direction) {
    const [x, y] = [a, b].map((cell) => cell.dataset.v);
    if (x !== undefined && y !== undefined) return direction * (x - y);
    if (x !== undefined || y !== undefined) return x === undefined ? 1 : -1;
    const [left, right] = [a, b].map((cell) => cell.textContent.trim());
    if (!left || !right) return !left - !right;
    return direction * words.compare(left, right);
  }

  function sort(table, at, direction) {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[at].setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    for (const body of table.tBodies) {
      if ("fixed" in body.dataset) continue;
      const rows = [...body.rows].filter((row) => row.cells.length > at);  // a heading has one cell, and stays
      body.append(...rows.sort((a, b) => compare(a.cells[at], b.cells[at], direction)));
    }
    history.replaceState(null, "", `#${table.id}!${direction > 0 ? "" : "-"}${at + 1}`);
  }

  function makeSortable(table) {
    [...table.tHead.rows[table.tHead.rows.length - 1].cells].forEach((head, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const sorted = head.getAttribute("aria-sort");
        const first = head.dataset.best === "high" ? -1 : 1;
        sort(table, at, sorted ? (sorted === "ascending" ? -1 : 1) : first);
      });
    });
  }

  function makeFilters(table) {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    const rows = [...table.tBodies[0].rows];
    const box = document.createElement("div");
    box.className = "filters";
    const tests = [];
    const shown = document.createElement("span");
    shown.setAttribute("role", "status");
    const apply = () => {
      rows.forEach((row) => (row.hidden = !tests.every((test) => test(row))));
      shown.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
    };
    heads.forEach((head, at) => {
      if (!("filter" in head.dataset)) return;
      const label = create("label", box, { textContent: `${head.textContent.trim()} ` });
      const select = create("select", label, {});
      create("option", select, { textContent: "all of them", value: "" });
      const values = [...new Set(rows.map((row) => row.cells[at].textContent.trim()))];
      values.forEach((value, i) => create("option", select, { textContent: value, value: i + 1 }));
      tests.push((row) => !select.value || row.cells[at].textContent.trim() === values[select.value - 1]);
      select.addEventListener("change", apply);
    });
    if ("search" in table.dataset) {
      const label = create("label", box, { textContent: "containing " });
      const input = create("input", label, { type: "search" });
      tests.push((row) => row.textContent.toLowerCase().includes(input.value.toLowerCase()));
      input.addEventListener("input", apply);
    }
    if (!tests.length) return;
    box.append(shown);
    apply();
    table.closest(".scroll").before(box);
  }

  document.querySelectorAll("table[data-sorts]").forEach((table) => {
    makeFilters(table);
    makeSortable(table);
  });
  // What a link leads to is shown, though it lies folded.
  function unfold(element) {
    for (let of = element; of; of = of.parentElement) if (of.localName === "details") of.open = true;
  }
  const show = () => {
    const target = document.getElementById(location.hash.slice(1));
    unfold(target);
    target?.scrollIntoView();
  };
  if (location.hash && !location.hash.includes("!")) show();
  addEventListener("hashchange", () => location.hash.includes("!") || show());
  // A link to a table as somebody sorted it: #splits!3, #splits!-3
  const asked = /^#([\w-]+)!(-?)(\d+)$/.exec(location.hash);
  const table = asked && document.getElementById(asked[1]);
  if (table && asked[3] >= 1 && asked[3] <= table.tBodies[0].rows[0].cells.length) {
    unfold(table);
    sort(table, asked[3] - 1, asked[2] ? -1 : 1);
    table.scrollIntoView();
  }
})();
