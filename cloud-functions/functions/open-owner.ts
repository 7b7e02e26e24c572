/** Owners of partitions as the app has them: on its tables, its log, and the pages that are open. */
import type { LiveDevice } from '../../contract/api.ts'
import { signalCondition } from '../../detection/watch-state.ts'
import { zlibCompression } from '../hot-path/compression.ts'
import type { DeviceState } from '../hot-path/device-state.ts'
import { eventHubLogReader } from '../hot-path/log-reader.ts'
import { PartitionOwner } from '../hot-path/partition-owner.ts'
import { appLive, appLog, appTables } from '../services.ts'

export async function openOwner(partitionId: string, warn: (text: string) => void): Promise<PartitionOwner> {
  return new PartitionOwner({
    partitionId,
    tables: await appTables(),
    readLog: eventHubLogReader(appLog()),
    compression: zlibCompression,
    nowMs: Date.now,
    warn,
    shown: tellOpenPages,
  })
}

/** A message that a page takes within a moment; the devices that do not fit are told with their next reading. */
const devicesTold = 200

/** Newest values, live, while somebody looks. */
function tellOpenPages(devices: readonly DeviceState[]): void {
  const live = appLive()
  if (!live) return
  // Taken now: the states go on changing.
  const told = devices.slice(0, devicesTold).map(({ deviceId, lastSeenMs, latest, watch }) => ({
    deviceId,
    lastSeenMs,
    signals: [...latest].map(([signal, { timeMs, value }]): LiveDevice['signals'][number] => {
      const watched = watch.signals.get(signal)
      return [signal, timeMs, value, watched ? signalCondition(watched) : 'learning']
    }),
  }))
  void live.hasListeners(Date.now()).then((isListening) => {
    if (isListening) live.tellDevices(told)
  })
}
