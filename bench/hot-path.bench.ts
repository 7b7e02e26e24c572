/** The hot path: what a reading costs in the cloud, how long an alert takes, what is stored of it, and whether that depends on history. */
import { asDeployed } from './as-deployed.ts'
import { measureCloud } from './hot-path/cloud.ts'
import type * as Decoding from './hot-path/decoding.ts'
import type * as History from './hot-path/history.ts'
import type * as PlantDay from './hot-path/plant-day.ts'
import { printHeader } from './measure.ts'

const parts = (process.env.PARTS ?? 'decoding,history,cloud,day').split(',')

printHeader('Hot path')
if (parts.includes('decoding')) (await asDeployed<typeof Decoding>('./hot-path/decoding.ts')).measureDecoding()
if (parts.includes('history')) (await asDeployed<typeof History>('./hot-path/history.ts')).measureHistory()
if (parts.includes('cloud')) await measureCloud()
if (parts.includes('day')) (await asDeployed<typeof PlantDay>('./hot-path/plant-day.ts')).measurePlantDay()
