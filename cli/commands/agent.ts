import { join } from 'node:path'
import { hostname } from 'node:os'
import { z } from 'zod'
import { runSdkAgent } from '../../device-sim/agents/sdk-agent.ts'
import { HubRegistry } from '../../device-sim/hub-registry.ts'
import { ThisComputer } from '../../device-sim/sensors/this-computer.ts'
import { Duration, noPositionals, parseOptions, printJson } from '../command.ts'
import type { Command } from '../command.ts'
import { dataDirectory, readConnectionFile } from '../connection-file.ts'

const Options = z.object({
  device: z.string().min(1).max(128).optional(),
  every: Duration.default(2_000),
  target: z.string().optional(),
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
  help: `usage: millwright agent [--device NAME] [--every T] [--target CONNECTION.json] [--once] [--json]

Reads what this computer can measure of itself (thermal zones, hwmon and industrial
I/O on Linux; load, memory and disk everywhere) and publishes it. A value that
cannot be read is absent.

  --device NAME    device id (computer-HOSTNAME); registered if the hub does not know it
  --every T        time between readings (2s)
  --target FILE    connection.json of a cloud (default: that of \`npm start\`)
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
        once: { type: 'boolean' },
        json: { type: 'boolean' },
      },
      Options,
    )
    const computer = new ThisComputer()
    if (options.once) {
      const values = await computer.read(Date.now())
      if (options.json) printJson(values)
      else for (const [signalName, value] of Object.entries(values)) process.stdout.write(`${signalName.padEnd(24)} ${value}\n`)
      return 0
    }
    const { connection, ca } = await readConnectionFile(options.target ?? join(dataDirectory(), 'connection.json'))
    const deviceId = options.device ?? thisComputerId()
    const registry = new HubRegistry(connection.iotHub, ca)
    const [registered] = await registry.ensureDevices([deviceId])
    process.stdout.write(options.json ? '' : `${deviceId} publishes every ${options.every} ms, Ctrl-C ends it\n`)
    const counts = await runSdkAgent({
      credentials: { hubHost: registry.hubHost, deviceId, key: registered!.key, ca },
      modelId: 'dtmi:millwright:Computer;1',
      everyMs: options.every,
      read: (nowMs) => computer.read(nowMs),
      signal,
      onError: (error) => process.stderr.write(`${error.message}\n`),
    })
    if (options.json) printJson(counts)
    else process.stdout.write(`${counts.acknowledged} of ${counts.published} readings acknowledged\n`)
    return 0
  },
}
