/** The health of the pipeline itself: where every reading went, and the messages that were set aside. */
import type { DeadLetterView, LedgerView } from '../../contract/api.ts'
import { unknownDeviceId } from '../../contract/unknown-device.ts'
import { useLive } from '../live.ts'
import { addressOf } from '../navigation.ts'
import { formatCount } from '../parts/format.ts'
import { LedgerEquation } from '../parts/ledger.tsx'
import { Time } from '../parts/time.tsx'

const columns = [
  ['published', 'Published'],
  ['stored', 'Stored'],
  ['filtered', 'Filtered'],
  ['deadLettered', 'Set aside'],
  ['expired', 'Expired'],
  ['inFlight', 'In flight'],
  ['unexplained', 'Unexplained'],
  ['duplicates', 'Sent twice'],
] as const

export function PipelinePage() {
  const ledger = useLive<LedgerView>('ledger', 1_000)
  const letters = useLive<{ deadLetters: DeadLetterView[] }>('dead-letters', 3_000)
  return (
    <main>
      <section class="panel">
        <h1>Where every reading went</h1>
        {ledger.data ? (
          <>
            <LedgerEquation counts={ledger.data.total} />
            <div class="scroll" tabIndex={0} role="region" aria-label="Ledger by device">
              <table>
                <thead>
                  <tr>
                    <th scope="col">Device</th>
                    {columns.map(([key, name]) => (
                      <th key={key} scope="col" class="number">
                        {name}
                      </th>
                    ))}
                  </tr>
                </thead>
                <tbody>
                  {ledger.data.devices.map((device) => (
                    <tr key={device.deviceId}>
                      <td>
                        {device.deviceId === unknownDeviceId ? (
                          'Messages that name no device'
                        ) : (
                          <a href={addressOf.device(device.deviceId)}>{device.deviceId}</a>
                        )}
                      </td>
                      {columns.map(([key]) => (
                        <td key={key} class={key === 'unexplained' && device[key] !== 0 ? 'number wrong' : 'number'}>
                          {formatCount(device[key])}
                        </td>
                      ))}
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          </>
        ) : (
          <p class="none">{ledger.problem ?? 'Loading …'}</p>
        )}
      </section>
      <section class="panel">
        <h2>Messages set aside</h2>
        {letters.data?.deadLetters.length === 0 && <p class="none">None.</p>}
        {letters.data && letters.data.deadLetters.length > 0 && (
          <div class="scroll" tabIndex={0} role="region" aria-label="Messages set aside">
            <table>
              <thead>
                <tr>
                  <th scope="col">Arrived</th>
                  <th scope="col">Device</th>
                  <th scope="col">Reason</th>
                  <th scope="col">Detail</th>
                  <th scope="col">Begins with</th>
                </tr>
              </thead>
              <tbody>
                {letters.data.deadLetters.map((letter) => (
                  <tr key={letter.id}>
                    <td>
                      <Time ms={Date.parse(letter.arrivedAt)} />
                    </td>
                    <td>{letter.deviceId}</td>
                    <td>{letter.reason}</td>
                    <td>{letter.detail}</td>
                    <td>
                      <code>{letter.preview.slice(0, 80)}</code> ({formatCount(letter.bodyLength)} bytes)
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </section>
    </main>
  )
}
