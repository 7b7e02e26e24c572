/** Decoding and validating a packed reading, beside JSON.parse of a reading in a message of its own. */
import { zlibCompression } from '../../cloud-functions/hot-path/compression.ts'
import { decodePackedBatch } from '../../contract/telemetry/packed-batch.ts'
import { compare, printRow } from '../measure.ts'
import { packedPlant } from './packed-plant.ts'

const json = JSON.stringify({
  deviceId: 'dev-00012',
  sensorId: 'temperature',
  timestamp: 1_700_000_000_000,
  no: '4711',
  value: 21.437,
  unit: 'C',
  battery: 3.71,
  rssi: -61,
  site: 'plant-07',
  fw: '1.4.2',
})

export function measureDecoding(): void {
  const messages = [...packedPlant({ machines: 16, seconds: 30, secondsPerBatch: 30, machinesPerMessage: 8, startMs: 1_700_000_000_000 })]
  const readings = messages.reduce((sum, message) => sum + message.readings, 0)
  const ns = compare([
    { name: 'packed', readings, run: () => messages.forEach(({ body }) => void decodePackedBatch(body, zlibCompression)) },
    {
      name: 'json',
      readings: 1_000,
      run: () => {
        for (let i = 0; i < 1_000; i++) JSON.parse(json)
      },
    },
  ])
  const ratio = ns.get('json')! / ns.get('packed')!
  printRow('packed batch decoded and validated', `${ns.get('packed')!.toFixed(0)} ns a reading, 1/${ratio.toFixed(1)} of JSON.parse`)
}
