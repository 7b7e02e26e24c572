import { once } from 'node:events'
import { z } from 'zod'
import { csvLine } from '../../cloud-functions/store/csv.ts'
import { scoreSeries, scoreSignals } from '../../detection/score-series.ts'
import type { ScoredReading } from '../../detection/score-series.ts'
import { csvRows, parseTime, timeColumnOf } from '../../device-sim/agents/recording.ts'
import { existingFile, parseOptions, UsageError } from '../command.ts'
import type { Command } from '../command.ts'

/** What recordings write where nothing was measured. */
const missingValues: ReadonlySet<string> = new Set(['', 'nan', 'null', 'na', 'n/a', 'none'])

const Options = z.object({
  positionals: z.array(z.string()).length(1, 'exactly one FILE.csv is expected'),
  signal: z.array(z.string()).optional(),
})

const verdictColumns = 'anomaly_score,expected_min,expected_max,detector,state'

export const detect: Command = {
  summary: 'scores recorded signals, one value at a time, as the hot path would',
  help: `usage: millwright detect FILE.csv [--signal NAME]…

Reads rows \`timestamp,value\` as a stream and writes
\`timestamp,value,anomaly_score,expected_min,expected_max,detector,state\`. One fixed
configuration for every file; no value is seen before its turn. The score is 0 while
nothing is unusual or what is has been told, 0.5 and more where an alert would begin,
and never above 1. The expected range is that of the detector named;
docs/DETECTION.md explains them. Times are ISO 8601 (UTC where no zone is named), or
seconds to nanoseconds since 1970. A row without a value (empty, NaN, null, NA) is
\`missing\`: it teaches nothing, and scores 0.5 once when a value is long overdue.

A file with several columns of numbers and none named \`value\` holds the signals of one
machine: each is scored by itself and, where they are ten at most, by what the others
let expect of it. Such rows are \`timestamp,signal,value,anomaly_score,…\`, one a signal.

  --signal NAME   this column only, such as when others hold labels; may be repeated
`,
  async run(args, abort) {
    const { positionals, signal: signals } = parseOptions(args, { signal: { type: 'string', multiple: true } }, Options)
    const file = existingFile(positionals[0]!)
    let rowNumber = 1
    let read: ((row: Record<string, string>, place: string) => string) | undefined
    for await (const row of csvRows(file)) {
      if (abort.aborted) return 1
      rowNumber++
      if (!read) {
        const columns = columnsOf(Object.keys(row), signals, file)
        const [first, ...others] = columns.values
        read = others.length === 0 ? oneSignal(columns.time, first!) : severalSignals(columns.time, columns.values)
        process.stdout.write(`timestamp,${others.length === 0 ? '' : 'signal,'}value,${verdictColumns}\n`)
      }
      if (!process.stdout.write(read(row, `'${file}' line ${rowNumber}`))) await once(process.stdout, 'drain')
    }
    if (!read) process.stdout.write(`timestamp,value,${verdictColumns}\n`)
    return 0
  },
}

function oneSignal(time: string, name: string): (row: Record<string, string>, place: string) => string {
  const score = scoreSeries()
  return (row, place) => `${row[time]},${row[name]},${verdictOf(score(timeOf(row, time, place), valueOf(row, name, place)))}\n`
}

function severalSignals(time: string, names: readonly string[]): (row: Record<string, string>, place: string) => string {
  const score = scoreSignals(names.length)
  const labels = names.map((name) => csvLine([name]).trimEnd())
  return (row, place) => {
    const verdicts = score(
      timeOf(row, time, place),
      names.map((name) => valueOf(row, name, place)),
    )
    return names.map((name, index) => `${row[time]},${labels[index]},${row[name]},${verdictOf(verdicts[index]!)}\n`).join('')
  }
}

function timeOf(row: Record<string, string>, column: string, place: string): number {
  const text = row[column] ?? ''
  const timeMs = parseTime(text)
  if (timeMs === undefined) throw new UsageError(`${place}: '${text}' is no time`)
  return timeMs
}

/** undefined where nothing was measured */
function valueOf(row: Record<string, string>, column: string, place: string): number | undefined {
  const text = row[column] ?? ''
  if (missingValues.has(text.toLowerCase())) return undefined
  if (!Number.isFinite(Number(text))) throw new UsageError(`${place}: '${text}' is no number, in column ${column}`)
  return Number(text)
}

/** A column of times; the columns that were asked for, or one named value, or all others. */
function columnsOf(
  names: readonly string[],
  wanted: readonly string[] | undefined,
  file: string,
): { time: string; values: readonly string[] } {
  const time = timeColumnOf(names)
  const others = names.filter((name) => name !== time)
  const value = others.find((name) => /^value$/i.test(name))
  const values = wanted ?? (value === undefined ? others : [value])
  const unknown = values.filter((name) => !others.includes(name))
  if (time === undefined || values.length === 0)
    throw new UsageError(`'${file}' must have the columns timestamp and value; it has ${names.join(', ')}`)
  if (unknown.length > 0) throw new UsageError(`'${file}' has no column ${unknown.join(', ')}; it has ${names.join(', ')}`)
  return { time, values }
}

function verdictOf({ score, kind, detector, expectedMin, expectedMax }: ScoredReading): string {
  const expected = detector === undefined ? ',' : `${expectedMin},${expectedMax}`
  return `${score.toFixed(6)},${expected},${detector ?? ''},${kind}`
}
