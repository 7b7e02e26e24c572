import { expect, test } from 'vitest'
import { interpolationOf } from '../../cloud-functions/api/views.ts'

const pump = 'dtmi:millwright:CentrifugalPump;1'
const tank = 'dtmi:millwright:StorageTank;1'

test.each([
  { what: 'a deadband at the edge holds what was sent last', modelId: pump, signal: 'flowM3PerH', is: 'step' },
  { what: 'a swinging door sends the corners of lines', modelId: tank, signal: 'levelM', is: 'linear' },
  { what: 'of an unknown model the edge sends what differs', modelId: '', signal: 'anything', is: 'step' },
  { what: 'a device of its own sends every reading', modelId: pump, signal: 'flowM3PerH', gatewayId: '', is: 'linear' },
  { what: 'a mean of a minute is of all readings', modelId: pump, signal: 'flowM3PerH', pointWidthMs: 60_000, is: 'linear' },
])('between two points: $what', ({ modelId, signal, gatewayId = 'gateway-1', pointWidthMs = 30_000, is }) => {
  expect(interpolationOf({ gatewayId, modelId }, signal, pointWidthMs)).toBe(is)
})
