import type { LedgerCounts } from '../../contract/ledger.ts'
import { t } from '../texts/texts.ts'
import { formatCount } from './format.ts'

/** published = stored + filtered + dead-lettered + expired + in flight; what is left over must be none. */
export function LedgerEquation({ counts }: { counts: LedgerCounts }) {
  const texts = Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, formatCount(count)]))
  return (
    <p class="equation">
      {t('ledgerSum', texts)}
      {counts.unexplained === 0 ? t('noneUnexplained') : null}
      {counts.unexplained !== 0 && <strong class="wrong"> · {t('someUnexplained', { count: formatCount(counts.unexplained) })}</strong>}
    </p>
  )
}
