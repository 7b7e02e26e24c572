/** The whole plant at a glance: what needs somebody first, then every machine where it stands, every sensor in one state. */
import { useState } from 'preact/hooks'
import type { DeviceView, SensorState } from '../../contract/api.ts'
import type { Feed } from '../alert-feed.ts'
import { useDevices } from '../device-feed.ts'
import { addressOf } from '../navigation.ts'
import { Outcome, useActions } from '../parts/alert-actions.tsx'
import { AlertRow } from '../parts/alert-row.tsx'
import { useFold } from '../parts/fold.tsx'
import { formatAmount, formatClock, formatCount } from '../parts/format.ts'
import { t } from '../texts/texts.ts'
import { useNow } from '../use-now.ts'
import { wordSearch } from '../word-search.ts'

const states: readonly SensorState[] = ['alarm', 'no-data', 'bad-clock', 'learning', 'shelved', 'no-rule', 'fine']
/** The rest is on the page of alerts. */
const alertsShown = 8
/** More than this nobody finds by looking. */
const machinesAtAGlance = 30
const machinesOfALine = 20

export function Overview({ alerts }: { alerts: Feed }) {
  const devices = useDevices()
  const open = alerts.data ?? []
  return (
    <main>
      <h1 class="visually-hidden">{t('overview')}</h1>
      <Figures devices={devices.data} alerts={alerts} />
      <section class="panel">
        <h2>{t('openAlerts')}</h2>
        {alerts.data === undefined && <p class="none">{alerts.problem ?? t('loading')}</p>}
        {alerts.data && open.length === 0 && <p class="none">{t('allIsWell')}</p>}
        <OpenAlerts alerts={alerts} />
        {open.length > alertsShown && (
          <p>
            <a href="/alerts">{t('allAlerts', { count: open.length })}</a>
          </p>
        )}
      </section>
      <section class="panel">
        <h2>{t('plant')}</h2>
        {devices.data === undefined && <p class="none">{devices.problem ?? t('loading')}</p>}
        {devices.data?.length === 0 && <p class="none">{t('noMachine')}</p>}
        <Plant devices={devices.data ?? []} />
      </section>
    </main>
  )
}

function Plant({ devices }: { devices: readonly DeviceView[] }) {
  const [wanted, setWanted] = useState('')
  const isFound = wordSearch(wanted)
  const found = devices.filter(({ deviceId, kind, site, line }) => isFound(`${deviceId} ${kind} ${site} ${line}`))
  return (
    <>
      {devices.length > machinesAtAGlance && (
        <div class="toolbar">
          <label>
            <span>{t('findMachine')}</span>
            <input
              type="search"
              value={wanted}
              placeholder={t('findMachineHint')}
              onInput={({ currentTarget }) => setWanted(currentTarget.value)}
            />
          </label>
        </div>
      )}
      {devices.length > 0 && found.length === 0 && <p class="none">{t('noSuchMachine')}</p>}
      {sitesOf(found).map(({ site, lines }) => (
        <div key={site} class="site">
          <h3>{site === '' ? t('elsewhere') : site}</h3>
          {lines.map(({ line, machines }) => (
            <Line key={line} name={line === '' ? t('noLine') : line} machines={machines} />
          ))}
        </div>
      ))}
    </>
  )
}

/** In the order of what needs somebody, where not all machines of a line are shown. */
function Line({ name, machines }: { name: string; machines: readonly DeviceView[] }) {
  const isFolded = machines.length > machinesOfALine
  const ordered = isFolded ? [...machines].sort((a, b) => states.indexOf(a.condition) - states.indexOf(b.condition)) : machines
  const [shown, more] = useFold(ordered, machinesOfALine)
  return (
    <div class="line">
      <h4>{isFolded ? t('machinesOf', { line: name, count: formatCount(machines.length) }) : name}</h4>
      <ul class="fleet">
        {shown.map((device) => (
          <li key={device.deviceId}>
            <Tile device={device} />
          </li>
        ))}
      </ul>
      {more}
    </div>
  )
}

/** What is not known yet has no figure: a nought would say that all is well. */
function Figures({ devices, alerts }: { devices: readonly DeviceView[] | undefined; alerts: Feed }) {
  const sensors = devices?.flatMap(({ signals }) => signals)
  const count = (state: SensorState) => sensors?.filter((sensor) => sensor.state === state).length
  const open = alerts.data
  return (
    <section class="panel" aria-label={t('sensorsByState')}>
      {alerts.flood && (
        <p class="flood" role="status">
          {t('flood', { time: formatClock(alerts.flood.sinceMs), count: alerts.flood.alerts })}
        </p>
      )}
      <dl class="counts">
        <Count name={t('openAlerts')} value={open?.length} countsAlarms />
        <Count name={t('unacknowledged')} value={open?.filter(({ acknowledged }) => acknowledged === undefined).length} />
        <Count name={t('machines')} value={devices?.length} />
        <Count name={t('sensors')} value={sensors?.length} />
        {states.map((state) => (
          <Count key={state} name={t(`sensor.${state}`)} value={count(state)} countsAlarms={state === 'alarm'} isPart />
        ))}
      </dl>
    </section>
  )
}

type CountProps = { readonly name: string; readonly value: number | undefined; readonly countsAlarms?: boolean; readonly isPart?: boolean }

function Count({ name, value, countsAlarms = false, isPart = false }: CountProps) {
  return (
    <div data-alarm={countsAlarms && value !== undefined && value > 0} data-part={isPart}>
      <dt>{name}</dt>
      <dd>{value === undefined ? '–' : formatCount(value)}</dd>
    </div>
  )
}

function OpenAlerts({ alerts }: { alerts: Feed }) {
  const nowMs = useNow(5_000)
  const { run, outcome, isBusy } = useActions(alerts.refresh)
  return (
    <>
      <div class="alerts" role="list" aria-label={t('openAlerts')}>
        {(alerts.data ?? []).slice(0, alertsShown).map((alert) => (
          <AlertRow
            key={alert.alertId}
            alert={alert}
            nowMs={nowMs}
            isBusy={isBusy}
            onAcknowledge={() => void run([alert], 'acknowledge', {})}
          />
        ))}
      </div>
      <Outcome outcome={outcome} />
    </>
  )
}

type Site = { readonly site: string; readonly lines: { readonly line: string; readonly machines: DeviceView[] }[] }

/** What nobody has placed comes last. */
function sitesOf(devices: readonly DeviceView[]): Site[] {
  const sites: Site[] = []
  for (const device of devices) {
    let site = sites.find((known) => known.site === device.site)
    if (!site) sites.push((site = { site: device.site, lines: [] }))
    const line = site.lines.find((known) => known.line === device.line)
    if (line) line.machines.push(device)
    else site.lines.push({ line: device.line, machines: [device] })
  }
  return sites.sort((a, b) => Number(a.site === '') - Number(b.site === '') || a.site.localeCompare(b.site))
}

function Tile({ device }: { device: DeviceView }) {
  // An alarmed signal is never cut off by the limit of three.
  const shown = [...device.signals].sort((a, b) => Number(b.condition === 'alarm') - Number(a.condition === 'alarm')).slice(0, 3)
  return (
    <a class="tile" href={addressOf.device(device.deviceId)} data-condition={device.condition}>
      <header>
        <strong>{device.deviceId}</strong>
        <span class="condition">{t(`sensor.${device.condition}`)}</span>
      </header>
      <dl class="values">
        {shown.map(({ signal, name, value, unit, condition }) => (
          <div key={signal}>
            <dt>{name}</dt>
            <dd data-alarm={condition === 'alarm'}>{formatAmount(value, unit)}</dd>
          </div>
        ))}
      </dl>
    </a>
  )
}
