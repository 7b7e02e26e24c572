import fc from 'fast-check'
import { expect, test } from 'vitest'
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { decodePackedBatch } from '../../contract/telemetry/packed-batch.ts'
import type { DeviceBlock } from '../../contract/telemetry/telemetry.ts'
import { bodyBytesMax, MessageFiller } from '../../edge-module/fill-messages.ts'

const block = fc
  .record({ readings: fc.integer({ min: 0, max: 60 }), base: fc.integer({ min: -1e6, max: 1e6 }) })
  .map(({ readings, base }): Omit<DeviceBlock, 'deviceId'> => {
    const seqs = Array.from({ length: readings }, (_, index) => index + 1)
    const series = {
      signal: 'flow',
      timesMs: seqs.map((seq) => 1000 * seq),
      seqs,
      values: seqs.map((seq) => (base + ((seq * 7919) % 1000)) / 100),
    }
    return { bootId: 'b', modelId: 'm', fromSeq: 1, toSeq: readings, receivedSeq: readings, series: [series], filtered: 0, rejected: [] }
  })

test('a batch is parted by device into messages within the metering unit; nothing is lost, and the order stays', () => {
  fc.assert(
    fc.property(fc.array(block, { minLength: 1, maxLength: 300 }), (contents) => {
      const blocks = contents.map((content, index) => ({ deviceId: `device-${index}`, ...content }))
      const bodies = new MessageFiller(zlibCompression).encode({ cutAtMs: 0, blocks }, 0)
      for (const body of bodies) expect(body.length).toBeLessThanOrEqual(bodyBytesMax)
      expect(bodies.flatMap((body) => decodePackedBatch(body, zlibCompression).blocks)).toEqual(blocks)
    }),
    { numRuns: 40 },
  )
})
