/** The four priorities, the gravest first. Apart from the schemas, so that the page stays light. */
export const priorities = ['critical', 'high', 'medium', 'low'] as const

/** Sorts the graver first. */
export function byPriority(a: { readonly priority: string }, b: { readonly priority: string }): number {
  return rankOf(a.priority) - rankOf(b.priority)
}

/** 0 is the gravest. */
export function rankOf(priority: string): number {
  return (priorities as readonly string[]).indexOf(priority)
}
