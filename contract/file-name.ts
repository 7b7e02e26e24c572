/** Name of a file or folder for what has an id: on every system one name, and neither `.` nor `..`. Ids of letters, digits, `-` and `_` stay as they are. */
export function fileNameOf(id: string): string {
  const escape = (character: string) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
  // Windows takes no asterisk, and drops dots at the end.
  return encodeURIComponent(id).replaceAll(/\*|\.(?=\.*$)/g, escape)
}
