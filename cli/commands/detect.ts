import { once } from 'node:events'
import { z } from 'zod'
import { scoreSeries } from '../../detection/score-series.ts'
import type { ScoredReading } from '../../detection/score-series.ts'
import { csvRows, parseTime, timeColumnOf } from '../../device-sim/agents/recording.ts'
import { existingFile, parseOptions, UsageError } from '../command.ts'
import type { Command } from '../command.ts'

/** What recordings write where nothing was measured. */
const missingValues: ReadonlySet<string> = new Set(['', 'nan', 'null', 'na', 'n/a', 'none'])

const Options = z.object({ positionals: z.array(z.string()).length(1, 'exactly one FILE.csv is expected') })

export const detect: Command = {
  summary: 'scores a recorded series, one value at a time, as the hot path would',
  help: `usage: millwright detect FILE.csv

Reads rows \`timestamp,value\` as a stream and writes
\`timestamp,value,anomaly_score,expected_min,expected_max,detector,state\`. One fixed
configuration for every file; no value is seen before its turn. The score is 0 while
nothing is unusual or what is has been told, 0.5 and more where an alert would begin,
and never above 1. The expected range is that of the detector named;
docs/DETECTION.md explains them. Times are ISO 8601 (UTC where no zone is named), or
seconds to nanoseconds since 1970. A row without a value (empty, NaN, null, NA) is
\`missing\`: it scores 0 and teaches nothing.
`,
  async run(args, signal) {
    const { positionals } = parseOptions(args, {}, Options)
    const file = existingFile(positionals[0]!)
    const score = scoreSeries()
    process.stdout.write('timestamp,value,anomaly_score,expected_min,expected_max,detector,state\n')
    let rowNumber = 1
    let columns: { readonly time: string; readonly value: string } | undefined
    for await (const row of csvRows(file)) {
      if (signal.aborted) return 1
      rowNumber++
      columns ??= columnsOf(Object.keys(row), file)
      const [time = '', value = ''] = [row[columns.time], row[columns.value]]
      const timeMs = parseTime(time)
      if (timeMs === undefined) throw new UsageError(`'${file}' line ${rowNumber}: '${time}' is no time`)
      const isMissing = missingValues.has(value.toLowerCase())
      if (!isMissing && !Number.isFinite(Number(value))) throw new UsageError(`'${file}' line ${rowNumber}: '${value}' is no number`)
      const verdict = isMissing ? '0.000000,,,,missing' : verdictOf(score(timeMs, Number(value)))
      if (!process.stdout.write(`${time},${value},${verdict}\n`)) await once(process.stdout, 'drain')
    }
    return 0
  },
}

/** A column of times, and one named value or the only other one. */
function columnsOf(names: readonly string[], file: string): { time: string; value: string } {
  const time = timeColumnOf(names)
  const others = names.filter((name) => name !== time)
  const value = others.find((name) => /^value$/i.test(name)) ?? (others.length === 1 ? others[0] : undefined)
  if (time === undefined || value === undefined)
    throw new UsageError(`'${file}' must have the columns timestamp and value; it has ${names.join(', ')}`)
  return { time, value }
}

function verdictOf({ score, judgement: { kind, detector, expectedMin, expectedMax } }: ScoredReading): string {
  const expected = detector === undefined ? ',' : `${expectedMin},${expectedMax}`
  return `${score.toFixed(6)},${expected},${detector ?? ''},${kind}`
}
