import { basename, join } from 'node:path'
import { z } from 'zod'
import { MalformedRecordingError, readRecording } from '../../device-sim/agents/recording.ts'
import { replay as replayRecording } from '../../device-sim/agents/replay.ts'
import { HubRegistry } from '../../device-sim/hub-registry.ts'
import { existingFile, NumberText, parseOptions, printJson, UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { dataDirectory, readConnectionFile } from '../connection-file.ts'

const Options = z.object({
  device: z
    .string()
    .regex(/^[A-Za-z0-9\-:.+%_#*?!(),=@$']{1,128}$/, "a device id has up to 128 letters, digits or -:.+%_#*?!(),=@$'")
    .optional(),
  speed: z
    .union([z.literal('max').transform(() => Number.POSITIVE_INFINITY), NumberText.pipe(z.number().positive())], {
      error: "expected a positive number or 'max'",
    })
    .default(Number.POSITIVE_INFINITY),
  model: z.string().default(''),
  target: z.string().optional(),
  json: z.boolean().default(false),
  positionals: z.array(z.string()).length(1, 'exactly one FILE is expected'),
})

export const replay: Command = {
  summary: 'publishes a recorded series through the real protocol',
  help: `usage: millwright replay FILE [--device NAME] [--speed N|max] [--model DTMI] [--target CONNECTION.json] [--json]

Reads a recording and publishes its rows with their recorded times: a CSV file with a
column named timestamp and columns of numbers, or NDJSON (.ndjson, .jsonl) with an
object a line. A column or field named device says whose a row is; \`simulate --record\`
and \`agent --record\` write such files.

  --device NAME    device of the rows that name none; registered if the hub does not know it
  --speed N|max    N recorded seconds a second; max waits for nothing (default)
  --model DTMI     device model, for units and limits
  --target FILE    connection.json of a cloud (default: that of \`npm start\`)
  --json           the result as one JSON object
`,
  async run(args, signal) {
    const spec = {
      device: { type: 'string' },
      speed: { type: 'string' },
      model: { type: 'string' },
      target: { type: 'string' },
      json: { type: 'boolean' },
    } as const
    const { device: deviceId, speed, model, target, json, positionals } = parseOptions(args, spec, Options)
    const file = existingFile(positionals[0]!)
    const { connection, ca } = await readConnectionFile(target ?? join(dataDirectory(), 'connection.json'))
    const registry = new HubRegistry(connection.iotHub, ca)
    const credentialsOf = async (name: string) => {
      if (name === '') throw new UsageError(`'${basename(file)}' has rows that name no device: --device says whose they are`)
      const [registered] = await registry.ensureDevices([name])
      return { hubHost: registry.hubHost, deviceId: name, key: registered!.key, ca }
    }
    let lastError = ''
    try {
      const counts = await replayRecording({
        samples: readRecording(file),
        deviceId: deviceId ?? '',
        credentialsOf,
        modelId: model,
        speed,
        signal,
        onError: (error) => {
          if (error.message !== lastError) process.stderr.write(`${(lastError = error.message)}\n`)
        },
      })
      if (json) printJson({ file: basename(file), ...(deviceId === undefined ? {} : { device: deviceId }), ...counts })
      else
        process.stdout.write(
          `${basename(file)}: ${counts.samples} rows of ${counts.devices} devices, ${counts.acknowledged} of ${counts.published} readings acknowledged\n`,
        )
      return counts.acknowledged === counts.published || signal.aborted ? 0 : 1
    } catch (error) {
      if (error instanceof MalformedRecordingError) throw new UsageError(error.message)
      throw error
    }
  },
}
