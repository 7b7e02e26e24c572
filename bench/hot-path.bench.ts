/** The hot path: what a reading costs in the cloud, how long an alert takes, what is stored of it, and whether that depends on history. */
import { measureHistory } from './hot-path/history.ts'
import { measureCloud } from './hot-path/cloud.ts'
import { measureDecoding } from './hot-path/decoding.ts'
import { printHeader } from './measure.ts'

const parts = (process.env.PARTS ?? 'decoding,history,cloud').split(',')

printHeader('Hot path')
if (parts.includes('decoding')) measureDecoding()
if (parts.includes('history')) await measureHistory()
if (parts.includes('cloud')) await measureCloud()
