import { randomUUID } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { z } from 'zod'
import { errorText } from '../../contract/error-text.ts'
import { fileNameOf } from '../../contract/file-name.ts'
import type { Connection } from '../../contract/connection.ts'
import { RecordingWriter } from '../../device-sim/agents/recording.ts'
import { runSdkAgent } from '../../device-sim/agents/sdk-agent.ts'
import { HubRegistry } from '../../device-sim/hub-registry.ts'
import { provisionDevices } from '../../device-sim/provisioning.ts'
import type { DeviceCredentials } from '../../device-sim/device-credentials.ts'
import { AgentConfig } from '../../device-sim/sensors/agent-config.ts'
import { ThisComputer } from '../../device-sim/sensors/this-computer.ts'
import { Duration, noPositionals, NumberText, parseOptions, printJson, UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { dataDirectory, readConnectionFile } from '../connection-file.ts'

const Options = z.object({
  device: z.string().min(1).max(128).optional(),
  every: Duration.default(2_000),
  target: z.string().optional(),
  dps: z.boolean().default(false),
  config: z.string().optional(),
  data: z.string().optional(),
  'buffer-mb': NumberText.pipe(z.number().min(1).max(1_000_000)).default(256),
  record: z.string().optional(),
  once: z.boolean().default(false),
  json: z.boolean().default(false),
  positionals: noPositionals,
})

/** This computer's name, in the characters that a device id may have. */
export function thisComputerId(): string {
  return `computer-${
    hostname()
      .replace(/[^A-Za-z0-9-]/g, '-')
      .slice(0, 100) || 'unnamed'
  }`
}

export const agent: Command = {
  summary: 'this computer as a device: its real sensors, by the device SDK',
  help: `usage: millwright agent [--device NAME] [--every T] [--target CONNECTION.json] [--dps]
                        [--config FILE] [--data DIR] [--buffer-mb N] [--record FILE] [--once] [--json]

Reads what this computer can measure of itself (thermal zones, hwmon, industrial I/O,
1-wire and batteries on Linux; load, memory, disk and network everywhere) and publishes
it. A value that cannot be read is absent. What the hub has not acknowledged stands on
disk, and is sent when it can be.

  --device NAME    device id (computer-HOSTNAME); registered if the hub does not know it
  --every T        time between readings (2s)
  --target FILE    connection.json of a cloud (default: that of \`npm start\`)
  --dps            the device enrols by the provisioning service's group
  --config FILE    maps sensors to signals, for example
                   {"signals": {"cellarC": {"source": "w1", "id": "28-0316a2792bff"}}};
                   sources: thermal hwmon iio w1 file counter i2c (docs/RASPBERRY-PI.md)
  --data DIR       folder for what is not acknowledged yet (agent/NAME beside the connection file)
  --buffer-mb N    how much it may hold; beyond it the oldest give way, and are accounted for (256)
  --record FILE    writes all samples to a file (.csv or .ndjson), for \`millwright replay\`
  --once           prints one reading and sends nothing
  --json           one JSON object a line
`,
  async run(args, signal) {
    const options = parseOptions(
      args,
      {
        device: { type: 'string' },
        every: { type: 'string' },
        target: { type: 'string' },
        dps: { type: 'boolean' },
        config: { type: 'string' },
        data: { type: 'string' },
        'buffer-mb': { type: 'string' },
        record: { type: 'string' },
        once: { type: 'boolean' },
        json: { type: 'boolean' },
      },
      Options,
    )
    const config = await readConfig(options.config)
    const computer = new ThisComputer('/sys', config)
    if (options.once) {
      const values = await computer.readAll(Date.now)
      if (options.json) printJson(values)
      else for (const [signalName, value] of Object.entries(values)) process.stdout.write(`${signalName.padEnd(24)} ${value}\n`)
      return 0
    }
    const targetFile = resolve(options.target ?? join(dataDirectory(), 'connection.json'))
    const { connection, ca } = await readConnectionFile(targetFile)
    const deviceId = options.device ?? thisComputerId()
    const credentials = await credentialsFor(deviceId, connection, ca, options.dps)
    const directory = options.data ?? join(dirname(targetFile), 'agent', fileNameOf(deviceId))
    await mkdir(directory, { recursive: true })
    const first = await computer.readAll(Date.now)
    const onError = (error: Error) => void process.stderr.write(`${error.message}\n`)
    const recording = options.record === undefined ? undefined : await RecordingWriter.open(options.record, Object.keys(first), onError)
    process.stdout.write(options.json ? '' : `${deviceId} publishes every ${options.every} ms, Ctrl-C ends it\n`)
    const counts = await runSdkAgent({
      credentials: async () => credentials,
      modelId: config.modelId,
      everyMs: options.every,
      read: (nowMs) => computer.read(nowMs),
      directory,
      bufferBytesMax: options['buffer-mb'] * 1_048_576,
      bootId: randomUUID().slice(0, 8),
      signal,
      onError,
      onSample: (sample) => recording?.write(deviceId, config.modelId, sample),
    })
    await recording?.close()
    if (options.json) printJson(counts)
    else process.stdout.write(`${counts.acknowledged} of ${counts.published} readings acknowledged\n`)
    return 0
  },
}

async function readConfig(file: string | undefined): Promise<AgentConfig> {
  try {
    return AgentConfig.parse(file === undefined ? {} : JSON.parse(await readFile(file, 'utf8')))
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : errorText(error)
    throw new UsageError(`the configuration '${file}' cannot be used:\n${reason}`)
  }
}

async function credentialsFor(deviceId: string, connection: Connection, ca: string | undefined, dps: boolean): Promise<DeviceCredentials> {
  if (!dps) {
    const registry = new HubRegistry(connection.iotHub, ca)
    const [registered] = await registry.ensureDevices([deviceId])
    return { hubHost: registry.hubHost, deviceId, key: registered!.key, ca }
  }
  if (!connection.dps) throw new UsageError('--dps needs `dps` in the connection file: endpoint, idScope and groupKey')
  const [provisioned] = await provisionDevices(connection.dps, [deviceId], ca)
  return { ...provisioned!, ca }
}
