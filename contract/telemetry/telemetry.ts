/**
 * What every encoding of telemetry decodes to: per device a block, per signal a series of columns.
 * Columns rather than one object a reading, because the hot path touches every reading.
 */

/** Readings of one signal, in the order the device took them. The three columns have equal length. */
export type Series = {
  readonly signal: string
  /** Event times, milliseconds since 1970. */
  readonly timesMs: readonly number[]
  readonly seqs: readonly number[]
  readonly values: readonly number[]
  /** Unit the sender named, before it is brought to that of the device model. */
  readonly unit?: string
  /** What the edge held back of this signal since it last said so, in this block and others: statistics stay unbiased. */
  readonly filtered?: FilteredSummary
}

export type FilteredSummary = {
  readonly count: number
  readonly min: number
  readonly max: number
  readonly mean: number
  /** Event time of the last reading held back. */
  readonly lastTimeMs: number
}

/** A message the edge could not decode: it stands for `count` readings from `seq` on. */
export type RejectedRange = { readonly seq: number; readonly count: number; readonly reason: string }

/** Rejected for this reason, readings were not wrong but too old to be kept any longer. */
export const expiredReason = 'expired'

/**
 * Everything one message says of one device. A reading with a seq below `fromSeq` stands in the summary of an earlier
 * block: the edge could tell only later that the curve needs it.
 */
export type DeviceBlock = {
  readonly deviceId: string
  /** Names one start of the device's program; empty for a foreign device that stamps nothing. */
  readonly bootId: string
  /** DTMI of the device's model, empty when not known. */
  readonly modelId: string
  /** Every reading of `fromSeq..toSeq` is accounted for in this block: passed, filtered or rejected. */
  readonly fromSeq: number
  readonly toSeq: number
  /** The highest seq that had reached the sender of the message; above `toSeq` while readings wait at the edge. */
  readonly receivedSeq: number
  readonly series: readonly Series[]
  /** Readings of the range that were held back. */
  readonly filtered: number
  readonly rejected: readonly RejectedRange[]
  /** The sender has judged every reading, those it held back too, and tells of its alerts by messages of their own. */
  readonly isJudged?: boolean
}

export function readingCount(block: DeviceBlock): number {
  return block.series.reduce((count, series) => count + series.values.length, 0)
}

/** Readings that an earlier block counted among its filtered ones. */
export function recalledCount({ fromSeq, series }: DeviceBlock): number {
  return series.reduce((count, { seqs }) => count + seqs.filter((seq) => seq < fromSeq).length, 0)
}

/** Compression is handed in: the contract touches no `node:` module. Inflating fails above `bytesMax`. */
export type Compression = {
  deflateRaw(bytes: Uint8Array): Uint8Array
  inflateRaw(bytes: Uint8Array, bytesMax: number): Uint8Array
  gunzip(bytes: Uint8Array, bytesMax: number): Uint8Array
}

/** Limits of one message. IoT Hub takes 256 KB; the others bound what a small message may unfold into. */
export const telemetryLimits = {
  messageBytesMax: 262_144,
  inflatedBytesMax: 4_194_304,
  readingsMax: 50_000,
  signalNameCharsMax: 128,
  /** Beside those that its model names. */
  signalsPerDeviceMax: 256,
} as const
