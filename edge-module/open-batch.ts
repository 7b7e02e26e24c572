/** The batch being filled: what was passed, what was held back, what was set aside, in blocks without a hole. */
import type { DeviceBlock, FilteredSummary, RejectedRange, Series } from '../contract/telemetry/telemetry.ts'

export type OpenSeries = {
  readonly timesMs: number[]
  readonly seqs: number[]
  readonly values: number[]
  /** What is told of readings that were held back, in this block or long before. */
  filtered: FilteredSummary | undefined
}

export type OpenBlock = {
  readonly deviceId: string
  readonly bootId: string
  modelId: string
  readonly fromSeq: number
  toSeq: number
  readonly series: Map<string, OpenSeries>
  /** Readings held back. */
  filtered: number
  readonly rejected: RejectedRange[]
}

/** Rough bytes of each part, before the module learns from what came out; only their ratios matter. */
const bytesOf = { block: 14, series: 5, reading: 3.3, rejected: 4 } as const

export class OpenBatch {
  #blocks: OpenBlock[] = []
  readonly #current = new Map<string, OpenBlock>()
  readings = 0
  roughBytes = 0

  get isEmpty(): boolean {
    return this.#blocks.length === 0
  }

  /** The block that takes the device's next readings, if there is one and `fromSeq` follows on it. */
  current(deviceId: string, bootId: string, fromSeq: number): OpenBlock | undefined {
    const block = this.#current.get(deviceId)
    return block?.bootId === bootId && block.toSeq + 1 === fromSeq ? block : undefined
  }

  begin(deviceId: string, bootId: string, modelId: string, fromSeq: number): OpenBlock {
    const block: OpenBlock = { deviceId, bootId, modelId, fromSeq, toSeq: fromSeq - 1, series: new Map(), filtered: 0, rejected: [] }
    this.#current.set(deviceId, block)
    this.#blocks.push(block)
    this.roughBytes += bytesOf.block + deviceId.length
    return block
  }

  seriesOf(block: OpenBlock, signal: string): OpenSeries {
    let series = block.series.get(signal)
    if (!series) {
      block.series.set(signal, (series = { timesMs: [], seqs: [], values: [], filtered: undefined }))
    }
    return series
  }

  pass(series: OpenSeries, timeMs: number, seq: number, value: number): void {
    if (series.values.length === 0) this.roughBytes += bytesOf.series
    series.timesMs.push(timeMs)
    series.seqs.push(seq)
    series.values.push(value)
    this.readings++
    this.roughBytes += bytesOf.reading
  }

  reject(block: OpenBlock, range: RejectedRange): void {
    const last = block.rejected.at(-1)
    if (last && last.reason === range.reason && last.seq + last.count === range.seq) {
      block.rejected[block.rejected.length - 1] = { ...last, count: last.count + range.count }
      return
    }
    block.rejected.push(range)
    this.roughBytes += bytesOf.rejected
  }

  /** Blocks so far; the batch is empty afterwards. */
  take(): OpenBlock[] {
    const blocks = this.#blocks
    this.#blocks = []
    this.#current.clear()
    this.readings = 0
    this.roughBytes = 0
    return blocks
  }
}

export function toDeviceBlock({ deviceId, bootId, modelId, fromSeq, toSeq, series, filtered, rejected }: OpenBlock): DeviceBlock {
  const told = [...series].flatMap(([signal, { filtered: statement, ...columns }]): Series[] => {
    if (columns.values.length === 0 && !statement) return []
    return [{ signal, ...columns, ...(statement ? { filtered: statement } : {}) }]
  })
  return { deviceId, bootId, modelId, fromSeq, toSeq, receivedSeq: toSeq, series: told, filtered, rejected, isJudged: true }
}
