import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { errorText } from '../../contract/error-text.ts'
import { Backtester } from '../../detection/backtest.ts'
import type { BacktestAlert } from '../../detection/backtest.ts'
import { ProposedChange } from '../../detection/configuration.ts'
import { MalformedRecordingError, readRecording } from '../../device-sim/agents/recording.ts'
import { existingFile, parseOptions, printJson, UsageError } from '../command.ts'
import type { Command } from '../command.ts'

const Options = z.object({
  config: z.string({ error: '--config NEW.json is expected' }),
  device: z.string().default('device'),
  model: z.string().default(''),
  json: z.boolean().default(false),
  positionals: z.array(z.string()).length(1, 'exactly one RECORDING is expected'),
})

export const backtest: Command = {
  summary: 'says what another configuration would have made of a recording',
  help: `usage: millwright backtest RECORDING --config NEW.json [--device NAME] [--model DTMI] [--json]

Judges a recording twice, by the present configuration and by the one in NEW.json, and
lists the alerts that would be added, removed or moved. NEW.json holds
\`{ "detection": { "marginRanges": 0.3, "rollingScore": 8, … }, "models": { "dtmi:…;1": { "alarms": […] } } }\`;
what it leaves out stays as it is. docs/DETECTION.md explains the settings.

  --config FILE    the change to try
  --device NAME    device of the rows that name none
  --model DTMI     model of the rows that name none
  --json           one object a line, the summary last
`,
  async run(args, signal) {
    const spec = {
      config: { type: 'string' },
      device: { type: 'string' },
      model: { type: 'string' },
      json: { type: 'boolean' },
    } as const
    const { config, device, model, json, positionals } = parseOptions(args, spec, Options)
    const tester = new Backtester(readChange(config))
    const file = existingFile(positionals[0]!)
    let samples = 0
    try {
      for await (const sample of readRecording(file)) {
        if (signal.aborted) return 1
        samples++
        tester.add({ deviceId: sample.deviceId ?? device, modelId: sample.modelId ?? model, timeMs: sample.timeMs, values: sample.values })
      }
    } catch (error) {
      if (error instanceof MalformedRecordingError) throw new UsageError(error.message)
      throw error
    }
    const { before, after, added, removed, moved } = tester.result()
    if (json) {
      for (const alert of added) printJson({ change: 'added', ...shown(alert) })
      for (const alert of removed) printJson({ change: 'removed', ...shown(alert) })
      for (const { from, to } of moved) printJson({ change: 'moved', from: shown(from), to: shown(to) })
      printJson({ samples, before, after, added: added.length, removed: removed.length, moved: moved.length })
      return 0
    }
    for (const alert of added) process.stdout.write(`+ ${line(alert)}\n`)
    for (const alert of removed) process.stdout.write(`- ${line(alert)}\n`)
    for (const { from, to } of moved) process.stdout.write(`~ ${line(from)}  →  ${line(to)}\n`)
    process.stdout.write(
      `${samples} samples: ${before} alerts now, ${after} then; ${added.length} added, ${removed.length} removed, ${moved.length} moved\n`,
    )
    return 0
  },
}

function readChange(file: string): ProposedChange {
  const text = readFileSync(existingFile(file), 'utf8')
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (error) {
    throw new UsageError(`'${file}' is not JSON: ${errorText(error)}`)
  }
  const result = ProposedChange.safeParse(content)
  if (!result.success) throw new UsageError(`'${file}' is no configuration:\n${z.prettifyError(result.error)}`)
  return result.data
}

function shown({ raisedAtMs, returnedAtMs, ...alert }: BacktestAlert) {
  return {
    ...alert,
    raisedAt: new Date(raisedAtMs).toISOString(),
    ...(returnedAtMs === undefined ? {} : { returnedAt: new Date(returnedAtMs).toISOString() }),
  }
}

function line({ deviceId, signal, condition, detector, raisedAtMs }: BacktestAlert): string {
  return `${new Date(raisedAtMs).toISOString()} ${deviceId} ${signal} ${condition} (${detector})`
}
