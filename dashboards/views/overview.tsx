/** The whole plant at a glance: what needs somebody first, then every machine in exactly one state. */
import type { AlertView, DeviceView } from '../../contract/api.ts'
import type { Live } from '../live.ts'
import { addressOf } from '../navigation.ts'
import { AlertList } from '../parts/alert-list.tsx'
import { formatAmount } from '../parts/format.ts'

const conditionWords: Record<DeviceView['condition'], string> = { alarm: 'Alarm', learning: 'Learning', fine: 'Fine', 'no-data': 'No data' }

export function Overview({
  devices,
  alerts,
  refresh,
}: {
  devices: Live<{ devices: DeviceView[] }>
  alerts: Live<{ alerts: AlertView[] }>
  refresh: () => void
}) {
  const list = devices.data?.devices ?? []
  const open = alerts.data?.alerts ?? []
  const count = (condition: DeviceView['condition']) => list.filter((device) => device.condition === condition).length
  // Those without a model come last.
  const kinds = [...new Set(list.map(({ kind }) => kind))].sort((a, b) => Number(a === '') - Number(b === '') || a.localeCompare(b))
  return (
    <main>
      <h1 class="visually-hidden">Overview</h1>
      <section class="panel" aria-label="Machines by state">
        <dl class="counts">
          <Count name="Machines" value={list.length} />
          {(['fine', 'alarm', 'learning', 'no-data'] as const).map((condition) => (
            <Count
              key={condition}
              name={conditionWords[condition]}
              value={count(condition)}
              alarm={condition === 'alarm' && count(condition) > 0}
            />
          ))}
          <Count name="Open alerts" value={open.length} />
        </dl>
      </section>
      <section class="panel">
        <h2>Open alerts</h2>
        {alerts.data ? <AlertList alerts={open} refresh={refresh} /> : <p class="none">{alerts.problem ?? 'Loading …'}</p>}
      </section>
      <section class="panel">
        <h2>Fleet</h2>
        {list.length === 0 && <p class="none">{devices.problem ?? 'No machine has reported yet.'}</p>}
        {kinds.map((kind) => (
          <div key={kind}>
            <h3 class="kind">{kind === '' ? 'Without a model' : kind}</h3>
            <ul class="fleet">
              {list
                .filter((device) => device.kind === kind)
                .map((device) => (
                  <li key={device.deviceId}>
                    <Tile device={device} />
                  </li>
                ))}
            </ul>
          </div>
        ))}
      </section>
    </main>
  )
}

function Count({ name, value, alarm = false }: { name: string; value: number; alarm?: boolean }) {
  return (
    <div data-alarm={alarm}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}

function Tile({ device }: { device: DeviceView }) {
  // An alarmed signal is never cut off by the limit of three.
  const shown = [...device.signals].sort((a, b) => Number(b.condition === 'alarm') - Number(a.condition === 'alarm')).slice(0, 3)
  return (
    <a class="tile" href={addressOf.device(device.deviceId)} data-condition={device.condition}>
      <header>
        <strong>{device.deviceId}</strong>
        <span class="condition">{conditionWords[device.condition]}</span>
      </header>
      <dl class="values">
        {shown.map(({ signal, name, value, unit, condition }) => (
          <>
            <dt key={`${signal}-name`}>{name}</dt>
            <dd key={signal} data-alarm={condition === 'alarm'}>
              {formatAmount(value, unit)}
            </dd>
          </>
        ))}
      </dl>
    </a>
  )
}
