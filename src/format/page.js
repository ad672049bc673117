
'use strict';
(() => {
  const table = document.getElementById('files');
  const body = table.tBodies[0];
  const box = document.getElementById('filter');
  const input = box.querySelector('input');
  const count = box.querySelector('output');
  box.hidden = false;
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = words.length ? shown + ' of ' + body.rows.length : '';
  };
  input.addEventListener('input', filter);
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = cell.textContent;
    cell.textContent = '';
    cell.append(button);
    button.addEventListener('click', () => {
      const order = cell.getAttribute('aria-sort') === 'ascending' ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
      cell.setAttribute('aria-sort', order === 1 ? 'ascending' : 'descending');
      const text = (row) => row.cells[column].textContent;
      const rows = [...body.rows].sort((a, b) => order * text(a).localeCompare(text(b)));
      body.append(...rows);
    });
  });
})();
