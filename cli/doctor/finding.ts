/** One thing that can be wrong, in words a person can act on. */
export type Finding = { readonly check: string; readonly ok: boolean; readonly detail: string }
