import { once } from 'node:events'
import { createReadStream, existsSync } from 'node:fs'
import { parse } from 'csv-parse'
import { z } from 'zod'
import { scoreSeries } from '../../detection/score-series.ts'
import type { ScoredReading } from '../../detection/score-series.ts'
import { parseTime } from '../../device-sim/agents/recording.ts'
import { parseOptions, UsageError } from '../command.ts'
import type { Command } from '../command.ts'

/** What recordings write where nothing was measured. */
const missingValues: ReadonlySet<string | undefined> = new Set(['', 'nan', 'null', 'na', 'n/a', 'none'])

const Options = z.object({ positionals: z.array(z.string()).length(1, 'exactly one FILE.csv is expected') })

export const detect: Command = {
  summary: 'scores a recorded series, one value at a time, as the hot path would',
  help: `usage: millwright detect FILE.csv

Reads rows \`timestamp,value\` as a stream and writes
\`timestamp,value,anomaly_score,expected_min,expected_max,detector,state\`. One fixed
configuration for every file; no value is seen before its turn. The score is 0 while
nothing is unusual or what is has been told, 0.5 and more where an alert would begin,
and never above 1. The expected range is that of the detector named;
docs/DETECTION.md explains them. A row without a value (empty, NaN, null, NA) is
\`missing\`: it scores 0 and teaches nothing.
`,
  async run(args, signal) {
    const { positionals } = parseOptions(args, {}, Options)
    const file = positionals[0]!
    if (!existsSync(file)) throw new UsageError(`there is no file '${file}'`)
    const score = scoreSeries()
    const rows = createReadStream(file).pipe(parse({ columns: true, skip_empty_lines: true, trim: true, bom: true }))
    process.stdout.write('timestamp,value,anomaly_score,expected_min,expected_max,detector,state\n')
    let rowNumber = 1
    for await (const row of rows as AsyncIterable<Record<string, string>>) {
      if (signal.aborted) return 1
      rowNumber++
      const timeMs = parseTime(row.timestamp ?? '')
      if (timeMs === undefined) throw new UsageError(`'${file}' line ${rowNumber}: '${row.timestamp}' is no time`)
      const value = Number(row.value)
      const isMissing = missingValues.has(row.value?.toLowerCase())
      if (!isMissing && !Number.isFinite(value)) throw new UsageError(`'${file}' line ${rowNumber}: '${row.value}' is no number`)
      const verdict = isMissing ? '0.000000,,,,missing' : verdictOf(score(timeMs, value))
      if (!process.stdout.write(`${row.timestamp},${row.value},${verdict}\n`)) await once(process.stdout, 'drain')
    }
    return 0
  },
}

function verdictOf({ score, judgement: { kind, detector, expectedMin, expectedMax } }: ScoredReading): string {
  const expected = detector === undefined ? ',' : `${expectedMin},${expectedMax}`
  return `${score.toFixed(6)},${expected},${detector ?? ''},${kind}`
}
