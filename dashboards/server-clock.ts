/** The server's time. An operator's computer may be minutes off, and what the page says of ages must be true all the same. */
let offsetMs = 0

/** `Date` counts whole seconds, and the answer was on its way: less than this is no difference. */
const toleranceMs = 2_000

export function serverNow(): number {
  return Date.now() + offsetMs
}

/** @param date of an answer that has just come; proxies may leave it out */
export function noteServerTime(date: string | null): void {
  const toldMs = Date.parse(date ?? '')
  if (Math.abs(toldMs - serverNow()) > toleranceMs) offsetMs = toldMs - Date.now()
}
