/** The fold alone (decode, account, detect, segment, roll up), and what is kept of a reading; with 1, 10 and 100 times the history. */
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { foldMessage, newPartitionState, noEffects } from '../../cloud-functions/hot-path/fold.ts'
import { encodeSegment } from '../../cloud-functions/hot-path/open-segment.ts'
import { encodeBuckets } from '../../cloud-functions/hot-path/bucket.ts'
import { packedBatchContentType } from '../../contract/telemetry/packed-batch.ts'
import { printRow } from '../measure.ts'
import { packedPlant } from './packed-plant.ts'

const machines = 8
const shortS = 1_200

export function measureHistory(): void {
  const lengths = [1, 10, 100]
  for (const length of lengths) {
    const partition = newPartitionState()
    let [sequenceNumber, readings, cpuUs, readingsMeasured] = [0, 0, 0, 0]
    let [segmentBytes, rollupBytes, closed] = [0, 0, 0]
    const seconds = shortS * length
    const messages = packedPlant({ machines, seconds, secondsPerBatch: 30, machinesPerMessage: 4, startMs: 1_700_000_000_000 })
    for (const { body, readings: count, newestMs } of messages) {
      const effects = noEffects()
      const message = {
        body,
        contentType: packedBatchContentType,
        contentEncoding: undefined,
        deviceId: 'gateway',
        moduleId: 'edge-module',
        properties: {},
        arrivedMs: newestMs,
        sequenceNumber: sequenceNumber++,
      }
      const before = process.cpuUsage()
      foldMessage(partition, message, zlibCompression, effects)
      const { user, system } = process.cpuUsage(before)
      readings += count
      // The last stretch is what is compared: as many readings, after more and more history.
      if (newestMs > 1_700_000_000_000 + (seconds - shortS / 2) * 1000) {
        cpuUs += user + system
        readingsMeasured += count
      }
      for (const { segment, rollups } of effects.closedSegments) {
        segmentBytes += encodeSegment(segment).length
        for (const { buckets, pageMs } of rollups) rollupBytes += encodeBuckets(buckets, pageMs).length
        closed += segment.readings
      }
    }
    printRow(
      `fold after ${length} × ${shortS / 60} min of history`,
      `${((cpuUs * 1000) / readingsMeasured).toFixed(0)} ns a reading (${readings} readings)`,
    )
    if (length === lengths.at(-1))
      printRow(
        'stored',
        `${(segmentBytes / closed).toFixed(2)} bytes a reading in segments, ${(rollupBytes / closed).toFixed(2)} in rollups, ${((segmentBytes + rollupBytes) / closed).toFixed(2)} together`,
      )
  }
}
