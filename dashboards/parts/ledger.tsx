import type { LedgerCounts } from '../../contract/ledger.ts'
import { formatCount } from './format.ts'

/** published = stored + filtered + dead-lettered + expired + in flight; what is left over must be none. */
export function LedgerEquation({ counts }: { counts: LedgerCounts }) {
  const { published, stored, filtered, deadLettered, expired, inFlight, unexplained } = counts
  return (
    <p class="equation">
      {formatCount(published)} published = {formatCount(stored)} stored + {formatCount(filtered)} filtered + {formatCount(deadLettered)} set
      aside + {formatCount(expired)} expired + {formatCount(inFlight)} in flight
      {unexplained === 0 ? ', none unexplained' : null}
      {unexplained !== 0 && <strong class="wrong"> · {formatCount(unexplained)} unexplained</strong>}
    </p>
  )
}
