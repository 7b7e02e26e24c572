import { createReadStream } from 'node:fs'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { parse } from 'csv-parse'
import { z } from 'zod'
import { newSeriesState, observe } from '../../detection/series-detector.ts'
import { parseTime } from '../../device-sim/agents/recording.ts'
import { parseOptions, UsageError } from '../command.ts'
import type { Command } from '../command.ts'

const Options = z.object({ positionals: z.array(z.string()).length(1, 'exactly one FILE.csv is expected') })

export const detect: Command = {
  summary: 'scores a recorded series, one value at a time, as the hot path would',
  help: `usage: millwright detect FILE.csv

Reads rows \`timestamp,value\` as a stream and writes
\`timestamp,value,anomaly_score,expected_min,expected_max,state\`. One fixed
configuration for every file; no value is seen before its turn. The score is 0 while
nothing is unusual, above 0.5 from the alert threshold on, and never above 1.
`,
  async run(args, signal) {
    const { positionals } = parseOptions(args, {}, Options)
    const file = positionals[0]!
    if (!existsSync(file)) throw new UsageError(`there is no file '${file}'`)
    const state = newSeriesState()
    const rows = createReadStream(file).pipe(parse({ columns: true, skip_empty_lines: true, trim: true, bom: true }))
    process.stdout.write('timestamp,value,anomaly_score,expected_min,expected_max,state\n')
    let rowNumber = 1
    for await (const row of rows as AsyncIterable<Record<string, string>>) {
      if (signal.aborted) return 1
      rowNumber++
      const timeMs = parseTime(row.timestamp ?? '')
      if (timeMs === undefined) throw new UsageError(`'${file}' line ${rowNumber}: '${row.timestamp}' is no time`)
      const value = Number(row.value)
      if (row.value === '' || row.value === undefined || !Number.isFinite(value))
        throw new UsageError(`'${file}' line ${rowNumber}: '${row.value}' is no number`)
      const verdict = observe(state, timeMs, value, 0)
      const [score, min, max] = 'score' in verdict ? [anomalyScore(verdict.score), verdict.expectedMin, verdict.expectedMax] : [0, '', '']
      const line = `${row.timestamp},${row.value},${score.toFixed(6)},${min},${max},${verdict.kind}\n`
      if (!process.stdout.write(line)) await once(process.stdout, 'drain')
    }
    return 0
  },
}

/** From robust standard deviations to 0…1: 0.5 at the onset threshold of 10. */
function anomalyScore(score: number): number {
  const size = Math.abs(score)
  return size / (size + 10)
}
