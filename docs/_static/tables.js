// Tables in an element of class "results" can be sorted by a click on a heading, and filtered by the columns that its
// classes filter-0, filter-1, ... name. Without this script, the tables are plain tables.
'use strict';

function textOf(row, column) {
  return row.cells[column] ? row.cells[column].textContent.trim() : '';
}

// numbers before words, and empty cells last, in both directions
function compareTexts(a, b, direction) {
  if (a === '' || b === '') return (a === '') - (b === '');
  const [x, y] = [parseFloat(a), parseFloat(b)];
  const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  return direction * order;
}

function sortBy(table, column, direction) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  rows.sort((a, b) => compareTexts(textOf(a, column), textOf(b, column), direction));
  body.append(...rows);
  Array.from(table.tHead.rows[0].cells).forEach((head, k) => {
    head.setAttribute('aria-sort', k !== column ? 'none' : direction > 0 ? 'ascending' : 'descending');
  });
}

function makeSortable(table) {
  Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'sort';
    button.textContent = head.textContent.trim();
    button.title = 'sort by ' + button.textContent;
    head.replaceChildren(button);
    head.setAttribute('aria-sort', 'none');
    button.addEventListener('click', () => {
      // numbers begin with the largest
      const first = Array.from(table.tBodies[0].rows).map((row) => textOf(row, column)).find((text) => text !== '');
      const start = Number.isNaN(parseFloat(first)) ? 1 : -1;
      const sorted = head.getAttribute('aria-sort');
      sortBy(table, column, sorted === 'none' ? start : sorted === 'ascending' ? -1 : 1);
    });
  });
}

function makeFilters(container, table) {
  const rows = Array.from(table.tBodies[0].rows);
  const bar = document.createElement('div');
  bar.className = 'filters';
  const count = document.createElement('span');
  count.className = 'count';
  count.setAttribute('aria-live', 'polite');
  const selects = Array.from(container.classList)
    .filter((name) => /^filter-\d+$/.test(name))
    .map((name) => Number(name.slice(7)))
    .map((column) => {
      const label = document.createElement('label');
      const select = document.createElement('select');
      const title = table.tHead.rows[0].cells[column].textContent.trim();
      select.name = title;
      const values = Array.from(new Set(rows.map((row) => textOf(row, column)))).filter((text) => text !== '');
      values.sort((a, b) => compareTexts(a, b, 1));
      select.add(new Option('all', ''));
      values.forEach((value) => select.add(new Option(value, value)));
      label.append(title + ' ', select);
      bar.append(label);
      return { column, select };
    });
  const search = document.createElement('input');
  search.type = 'search';
  search.placeholder = 'method or name';
  search.setAttribute('aria-label', 'filter rows by text');
  bar.append(search, count);

  function apply() {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    rows.forEach((row) => {
      const fits = selects.every(({ column, select }) => select.value === '' || textOf(row, column) === select.value);
      row.hidden = !(fits && row.textContent.toLowerCase().includes(wanted));
      shown += row.hidden ? 0 : 1;
    });
    count.textContent = shown + ' of ' + rows.length + ' rows';
  }

  bar.addEventListener('input', apply);
  bar.addEventListener('change', apply);
  container.prepend(bar);
  apply();
}

document.addEventListener('DOMContentLoaded', () => {
  document.querySelectorAll('.results').forEach((container) => {
    const table = container.querySelector('table');
    if (!table || !table.tHead || !table.tBodies.length) return;
    // names of the columns, which a narrow screen shows beside each value
    const titles = Array.from(table.tHead.rows[0].cells).map((head) => head.textContent.trim());
    Array.from(table.tBodies[0].rows).forEach((row) =>
      Array.from(row.cells).forEach((cell, k) => cell.setAttribute('data-label', titles[k])),
    );
    makeFilters(container, table);
    makeSortable(table);
  });
});
