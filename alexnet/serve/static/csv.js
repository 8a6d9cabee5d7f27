// Tables as text for a spreadsheet.
//
// Source: RFC 4180 for lines and quotes. A cell that begins as a formula does would be run by a
// spreadsheet, so it gets an apostrophe in front (OWASP, CSV injection); numbers stay as they are.

/**
 * Writes rows as CSV.
 *
 * @param {Array<Array<string|number>>} rows
 * @returns {string}
 */
export function toCsv(rows) {
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function cell(value) {
  if (typeof value === "number") {
    return String(value);
  }
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
