import { randomUUID } from 'node:crypto'
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { Fleet } from '../../device-sim/fleet.ts'
import type { FleetProgress } from '../../device-sim/fleet.ts'
import { HubRegistry } from '../../device-sim/hub-registry.ts'
import { pause } from '../../device-sim/pause.ts'
import { createPlant } from '../../device-sim/plant.ts'
import type { PlannedFault } from '../../device-sim/plant.ts'
import { Duration, noPositionals, parseOptions, printJson, UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { dataDirectory, readConnectionFile } from '../connection-file.ts'
import { announceReady } from '../supervisor/ready.ts'

/** `pump-002:bearing-wear:40s[:ramp[:length]]` */
const FaultOption = z.string().transform((text, context): PlannedFault => {
  const [deviceId = '', kind = '', onset = '', ramp = '12s', length = '5m'] = text.split(':')
  const [onsetMs, rampMs, lengthMs] = [onset, ramp, length].map((part) => Duration.safeParse(part))
  if (deviceId === '' || kind === '' || !onsetMs?.success || !rampMs?.success || !lengthMs?.success) {
    context.issues.push({
      code: 'custom',
      input: text,
      message: `'${text}' is not DEVICE:KIND:ONSET[:RAMP[:LENGTH]], for example pump-002:bearing-wear:40s`,
    })
    return z.NEVER
  }
  const onsetS = onsetMs.data / 1000
  return { deviceId, kind, onsetS, rampS: rampMs.data / 1000, endS: onsetS + lengthMs.data / 1000 }
})

const Options = z.object({
  devices: z.coerce.number().int().min(1).max(20_000).default(24),
  rate: z.coerce.number().positive().max(1_000).default(1),
  seed: z.string().default('millwright'),
  for: Duration.optional(),
  target: z.string().optional(),
  gateway: z.string().optional(),
  'edge-device': z.string().optional(),
  fault: z.array(FaultOption).default([]),
  truth: z.string().optional(),
  json: z.boolean().default(false),
  positionals: noPositionals,
})

const progressEveryMs = 1_000

export const simulate: Command = {
  summary: 'a fleet of simulated machines, with faults whose truth is known',
  help: `usage: millwright simulate [--devices N] [--rate R] [--seed S] [--for T]
                           [--target CONNECTION.json] [--gateway HOST:PORT --edge-device ID]
                           [--fault DEVICE:KIND:ONSET[:RAMP[:LENGTH]]]… [--truth FILE] [--json]

Simulates pumps, compressors and ovens and publishes their readings over MQTT,
each device with a connection of its own. Devices the hub does not know are
registered. Ends with one object that counts readings.

  --devices N      how many machines (24)
  --rate R         readings of each machine a second (1)
  --seed S         the same seed gives the same plant (millwright)
  --for T          ends after this time, for example 90s or 10m; default: until stopped
  --target FILE    connection.json of a cloud (default: that of \`npm start\`)
  --gateway H:P    connect through an edge gateway, as children of --edge-device
  --fault …        a fault to inject, for example pump-002:bearing-wear:40s
                   kinds: pump bearing-wear cavitation clogging; compressor valve-leak
                   oil-loss loose-mounting; oven door-open element-failure fan-belt
  --truth FILE     appends onset, end and kind of every fault, as NDJSON
  --json           progress and result as one JSON object a line
`,
  async run(args, signal) {
    const spec = {
      devices: { type: 'string' },
      rate: { type: 'string' },
      seed: { type: 'string' },
      for: { type: 'string' },
      target: { type: 'string' },
      gateway: { type: 'string' },
      'edge-device': { type: 'string' },
      fault: { type: 'string', multiple: true },
      truth: { type: 'string' },
      json: { type: 'boolean' },
    } as const
    const options = parseOptions(args, spec, Options)
    const { connection, ca } = await readConnectionFile(options.target ?? join(dataDirectory(), 'connection.json'))
    const plant = createPlant({ devices: options.devices, seed: options.seed, faults: options.fault })
    for (const fault of options.fault) {
      const machine = plant.find(({ deviceId }) => deviceId === fault.deviceId)
      if (!machine) throw new UsageError(`the fault names '${fault.deviceId}', which is not among the ${options.devices} devices`)
      if (!machine.faultKinds.includes(fault.kind))
        throw new UsageError(`'${fault.deviceId}' has no fault '${fault.kind}'; it has ${machine.faultKinds.join(', ')}`)
    }
    const registry = new HubRegistry(connection.iotHub, ca)
    const scope = options['edge-device'] === undefined ? undefined : (await registry.get(options['edge-device']))?.deviceScope
    const registered = new Map(
      (
        await registry.ensureDevices(
          plant.map(({ deviceId }) => deviceId),
          scope,
        )
      ).map((device) => [device.deviceId, device]),
    )
    const errors = new Map<string, number>()
    const fleet = new Fleet({
      plant,
      credentialsOf: (deviceId) => ({
        hubHost: registry.hubHost,
        gatewayHost: options.gateway,
        deviceId,
        key: registered.get(deviceId)!.key,
        ca,
      }),
      ratePerS: options.rate,
      signal,
      onError: (error) => errors.set(error.message, (errors.get(error.message) ?? 0) + 1),
    })
    if (options.truth !== undefined) await writeTruth(options.truth, options.fault, fleet.startedMs)
    const endMs = options.for === undefined ? Number.POSITIVE_INFINITY : fleet.startedMs + options.for
    let isAnnounced = false
    while (!signal.aborted && Date.now() < endMs) {
      await pause(Math.min(progressEveryMs, endMs - Date.now()), signal)
      const progress = fleet.progress()
      if (!isAnnounced && progress.connected === progress.devices) {
        isAnnounced = true
        announceReady({ devices: String(progress.devices) })
      }
      report(progress, fleet.startedMs, options.json)
    }
    const { published, acknowledged, dropped, messages, errors: errorCount, devices } = await fleet.stop()
    const result = {
      published,
      acknowledged,
      dropped,
      errors: errorCount,
      messages,
      devices,
      seed: options.seed,
      seconds: Math.round((Date.now() - fleet.startedMs) / 100) / 10,
    }
    if (options.json) printJson(result)
    else process.stdout.write(`\n${acknowledged} of ${published} readings acknowledged, ${errorCount} errors\n`)
    for (const [message, count] of errors) process.stderr.write(`${count} × ${message}\n`)
    return acknowledged > 0 || published === 0 ? 0 : 1
  },
}

function report(progress: FleetProgress, startedMs: number, json: boolean): void {
  const perS = progress.published / ((Date.now() - startedMs) / 1000)
  if (json)
    printJson({
      event: 'progress',
      connected: progress.connected,
      published: progress.published,
      acknowledged: progress.acknowledged,
      unacknowledged: progress.unacknowledged,
      errors: progress.errors,
    })
  else if (process.stdout.isTTY)
    process.stdout.write(
      `\r${progress.connected}/${progress.devices} devices, ${perS.toFixed(0)} readings/s, ${progress.unacknowledged} unacknowledged, ${progress.errors} errors   `,
    )
}

async function writeTruth(file: string, faults: readonly PlannedFault[], startedMs: number): Promise<void> {
  const run = randomUUID().slice(0, 8)
  const at = (seconds: number) => new Date(startedMs + seconds * 1000).toISOString()
  const lines = faults.map(
    ({ deviceId, kind, onsetS, rampS, endS }) =>
      `${JSON.stringify({ run, deviceId, kind, onset: at(onsetS), full: at(onsetS + rampS), end: at(endS) })}\n`,
  )
  await appendFile(file, lines.join(''))
}
