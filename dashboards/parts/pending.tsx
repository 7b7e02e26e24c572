import { t } from '../texts/texts.ts'

/** A page whose data is not there yet, or why it is not. */
export function Pending({ problem }: { problem: string | undefined }) {
  return (
    <main>
      <p class="panel none">{problem ?? t('loading')}</p>
    </main>
  )
}
