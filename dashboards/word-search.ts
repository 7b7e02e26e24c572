/** Whether every word of what somebody typed is somewhere in what is known. */
export function wordSearch(wanted: string): (known: string) => boolean {
  const words = wanted
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '')
  return (known) => words.every((word) => known.toLowerCase().includes(word))
}
