/**
 * What went wrong, in words, and why. `fetch` says no more than that it failed: which host did not answer, or whose certificate is not
 * trusted, its cause says. Of several attempts, as Azure's clients make them, the last one's error counts.
 */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof AggregateError && error.message === '' && error.errors.length > 0) return errorText(error.errors.at(-1))
  const why = error instanceof TypeError ? causeText(error.cause) : undefined
  return why === undefined ? error.message : `${error.message}: ${why}`
}

/** Of several addresses tried in vain, the first one's error. */
function causeText(cause: unknown): string | undefined {
  if (cause instanceof AggregateError && cause.message === '') return causeText(cause.errors[0])
  return cause instanceof Error ? cause.message : undefined
}
