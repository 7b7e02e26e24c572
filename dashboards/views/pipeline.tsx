/** The pipeline itself: where every reading went, what waits where, what was set aside, and what it costs. */
import { useRef } from 'preact/hooks'
import type { DeliveryList, DeviceView, LedgerView, PartitionList } from '../../contract/api.ts'
import type { LedgerCounts } from '../../contract/ledger.ts'
import { unknownDeviceId } from '../../contract/unknown-device.ts'
import { useDevices } from '../device-feed.ts'
import { useLive } from '../live.ts'
import { addressOf } from '../navigation.ts'
import { Deliveries } from '../parts/alert-history.tsx'
import { DeadLetters } from '../parts/dead-letters.tsx'
import { useFold } from '../parts/fold.tsx'
import { formatCount, formatNumber } from '../parts/format.ts'
import { LaptopPanels } from '../parts/laptop-panels.tsx'
import { LedgerEquation } from '../parts/ledger.tsx'
import { Table } from '../parts/table.tsx'
import { Time } from '../parts/time.tsx'
import { t } from '../texts/texts.ts'

const columns = ['published', 'stored', 'filtered', 'deadLettered', 'expired', 'inFlight', 'unexplained', 'duplicates'] as const
const devicesShown = 12

export function PipelinePage() {
  const ledger = useLive<LedgerView>('ledger', 2_000)
  const devices = useDevices()
  const partitions = useLive<PartitionList>('partitions', 5_000)
  const givenUp = useLive<DeliveryList>('deliveries', 5_000)
  return (
    <main>
      <section class="panel">
        <h1>{t('whereEveryReadingWent')}</h1>
        {ledger.data ? (
          <>
            <LedgerEquation counts={ledger.data.total} />
            <Throughput total={ledger.data.total} confirmedMs={ledger.confirmedMs} />
            <LedgerTable ledger={ledger.data} />
          </>
        ) : (
          <p class="none">{ledger.problem ?? t('loading')}</p>
        )}
      </section>
      <div class="columns">
        <section class="panel">
          <h2>{t('gateways')}</h2>
          {devices.data ? <Gateways devices={devices.data} /> : <p class="none">{devices.problem ?? t('loading')}</p>}
        </section>
        <section class="panel">
          <h2>{t('partitions')}</h2>
          {partitions.data ? <Partitions list={partitions.data} /> : <p class="none">{partitions.problem ?? t('loading')}</p>}
        </section>
      </div>
      <section class="panel">
        <h2>{t('setAside')}</h2>
        <DeadLetters />
      </section>
      <section class="panel">
        <h2>{t('givenUp')}</h2>
        {givenUp.data && givenUp.data.deliveries.length > 0 ? (
          <Deliveries deliveries={givenUp.data.deliveries} refresh={givenUp.refresh} />
        ) : (
          <p class="none">{givenUp.problem ?? t(givenUp.data ? 'none' : 'loading')}</p>
        )}
      </section>
      <LaptopPanels published={ledger.data?.total.published} devices={devices.data ?? []} />
    </main>
  )
}

/** Readings that were published between two answers. */
function Throughput({ total, confirmedMs }: { total: LedgerCounts; confirmedMs: number }) {
  const known = useRef<{ published: number; atMs: number; perS: number | undefined }>({
    published: total.published,
    atMs: confirmedMs,
    perS: undefined,
  })
  const { published, atMs } = known.current
  if (confirmedMs - atMs >= 4_000)
    known.current = { published: total.published, atMs: confirmedMs, perS: (1000 * (total.published - published)) / (confirmedMs - atMs) }
  const { perS } = known.current
  return perS === undefined ? null : <p class="none">{t('throughput', { count: formatNumber(perS) })}</p>
}

function Partitions({ list }: { list: PartitionList }) {
  return (
    <Table
      label={t('partitions')}
      head={[t('partition'), t('messages'), t('lag'), t('arrived')]}
      rows={list.partitions.map(({ partition, lastSequence, behind, lastEnqueuedMs }) => [
        partition,
        formatCount(lastSequence + 1),
        formatCount(behind),
        lastEnqueuedMs === null ? '–' : <Time key="time" ms={lastEnqueuedMs} />,
      ])}
    />
  )
}

/** Where something was lost, or set aside, comes first. */
function troubleOf({ unexplained, deadLettered, expired }: LedgerCounts): number {
  return unexplained !== 0 ? 2 : deadLettered + expired > 0 ? 1 : 0
}

function LedgerTable({ ledger }: { ledger: LedgerView }) {
  const [devices, more] = useFold(
    [...ledger.devices].sort((a, b) => troubleOf(b) - troubleOf(a)),
    devicesShown,
  )
  return (
    <>
      <Table
        label={t('ledgerByDevice')}
        head={[t('device'), ...columns.map((key) => t(`ledger.${key}`))]}
        numeric
        rows={devices.map((device) => [
          device.deviceId === unknownDeviceId ? (
            t('namesNoDevice')
          ) : (
            <a key="device" href={addressOf.device(device.deviceId)}>
              {device.deviceId}
            </a>
          ),
          ...columns.map((key) =>
            key === 'unexplained' && device[key] !== 0 ? (
              <strong key={key} class="wrong">
                {formatCount(device[key])}
              </strong>
            ) : (
              formatCount(device[key])
            ),
          ),
        ])}
      />
      {more}
    </>
  )
}

function Gateways({ devices }: { devices: readonly DeviceView[] }) {
  const gateways = new Map<string, DeviceView[]>()
  for (const device of devices)
    if (device.gatewayId !== '') gateways.set(device.gatewayId, [...(gateways.get(device.gatewayId) ?? []), device])
  if (gateways.size === 0) return <p class="none">{t('none')}</p>
  return (
    <Table
      label={t('gateways')}
      head={[t('gateway'), t('behindIt'), t('backlog'), t('lastSeen')]}
      rows={[...gateways].map(([gateway, behind]) => [
        gateway,
        formatCount(behind.length),
        formatCount(behind.reduce((sum, { ledger }) => sum + ledger.inFlight, 0)),
        <Time key="seen" ms={Math.max(...behind.map(({ lastSeenMs }) => lastSeenMs))} />,
      ])}
    />
  )
}
