/** One line of CSV (RFC 4180) that no spreadsheet takes for a program. */

/** Numbers and empty fields stay as they are; text that a spreadsheet would run as a formula gets an apostrophe before it. */
export function csvLine(fields: readonly (string | number | boolean | undefined)[]): string {
  return `${fields.map(csvField).join(',')}\n`
}

function csvField(field: string | number | boolean | undefined): string {
  if (field === undefined) return ''
  if (typeof field !== 'string') return String(field)
  const text = /^[=+\-@\t\r]/.test(field) ? `'${field}` : field
  return /[",\r\n']/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
