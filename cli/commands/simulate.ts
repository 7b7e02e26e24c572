import { randomUUID } from 'node:crypto'
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { RecordingWriter } from '../../device-sim/agents/recording.ts'
import type { DeviceCredentials } from '../../device-sim/device-credentials.ts'
import type { PlannedFault } from '../../device-sim/faults/fault.ts'
import { Fleet } from '../../device-sim/fleet.ts'
import type { FleetProgress } from '../../device-sim/fleet.ts'
import { HubRegistry } from '../../device-sim/hub-registry.ts'
import { pause } from '../../device-sim/pause.ts'
import type { SimulatedDevice } from '../../device-sim/plant.ts'
import { writePlantState } from '../../device-sim/plant-state.ts'
import { provisionDevices } from '../../device-sim/provisioning.ts'
import type { Connection } from '../../contract/connection.ts'
import { errorText } from '../../contract/error-text.ts'
import { parseOptions, printJson, UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { dataDirectory, readConnectionFile } from '../connection-file.ts'
import { announceReady } from '../supervisor/messages.ts'
import { faultHelp, planPlant, SimulateOptions, simulateSpec } from './simulate-options.ts'

const progressEveryMs = 1_000
const stateEveryMs = 10_000
/** Connections begun a second, unless a ramp is asked for: what one hub unit lets in. */
const connectionsPerS = 100

export const simulate: Command = {
  summary: 'a fleet of simulated machines, with faults whose truth is known',
  get help() {
    return `usage: millwright simulate [--devices N | --fleet FILE] [--rate R] [--seed S] [--for T]
                           [--target CONNECTION.json] [--dps | --gateway HOST:PORT --edge-device ID]
                           [--fault DEVICE[/SIGNAL]:KIND:ONSET[:RAMP[:LENGTH]]]… [--fault-rate R]
                           [--truth FILE] [--record FILE] [--state FILE] [--ramp T]
                           [--jitter PCT] [--json]

Simulates a plant of machines and publishes their readings over MQTT, each device with
a connection of its own. Devices the hub does not know are registered. A connection
that is lost comes back, and with it what was not acknowledged. Ends with one object
that counts readings.

  --devices N      how many machines, of all kinds in turn (24)
  --fleet FILE     a plan instead: {"machines": [{"kind": "pump", "count": 10, "prefix": "north",
                   "ratePerS": 1}], "faults": [{"device": "north-001", "kind": "leak", "onsetS": 60}]}
  --rate R         samples of each machine a second (1)
  --seed S         the same seed gives the same plant (millwright)
  --for T          ends after this time, for example 90s or 10m; default: until stopped
  --target FILE    connection.json of a cloud (default: that of \`npm start\`)
  --dps            devices enrol by the provisioning service's group instead of the registry
  --gateway H:P    connect through an edge gateway, as children of --edge-device
  --fault …        a fault to inject, for example pump-002:bearing-wear:40s; kinds by machine:
${faultHelp()}
  --fault-rate R   faults by chance beside those, R a machine and day
  --truth FILE     appends onset, end and kind of every fault, as NDJSON
  --record FILE    writes all samples to a file (.csv or .ndjson), for \`millwright replay\`
  --state FILE     where the machines are is kept in this file, and the next run goes on from there
  --ramp T         the time over which the devices connect (100 a second)
  --jitter PCT     how uneven the samples come (2)
  --json           progress and result as one JSON object a line
`
  },
  async run(args, signal) {
    const options = parseOptions(args, simulateSpec, SimulateOptions)
    const { plant, faults, seed, ratePerSOf } = await planPlant(options)
    const { connection, ca } = await readConnectionFile(options.target ?? join(dataDirectory(), 'connection.json'))
    const credentials = await credentialsFor(plant, options, connection, ca)
    const signals = [...new Set(plant.flatMap((machine) => machine.signals))]
    const modelOf = new Map(plant.map(({ deviceId, modelId }) => [deviceId, modelId]))
    const errors = new Map<string, number>()
    const onError = (error: Error) => void errors.set(error.message, (errors.get(error.message) ?? 0) + 1)
    const recording = options.record === undefined ? undefined : await RecordingWriter.open(options.record, signals, onError)
    const fleet = new Fleet({
      plant,
      credentialsOf: (deviceId) => credentials.get(deviceId)!,
      ratePerSOf,
      rampMs: options.ramp ?? (1000 * plant.length) / connectionsPerS,
      jitter: options.jitter / 100,
      signal,
      onError,
      onSample: recording && ((deviceId, sample) => recording.write(deviceId, modelOf.get(deviceId)!, sample)),
    })
    if (options.truth !== undefined) await writeTruth(options.truth, faults, fleet.startedMs)
    const endMs = options.for === undefined ? Number.POSITIVE_INFINITY : fleet.startedMs + options.for
    const saveState = () => {
      try {
        if (options.state !== undefined) writePlantState(options.state, seed, plant)
      } catch (error) {
        // A full disk costs the next run a jump, and this one nothing.
        onError(new Error(`the state '${options.state}' cannot be written: ${errorText(error)}`))
      }
    }
    let [isAnnounced, savedMs] = [false, fleet.startedMs]
    while (!signal.aborted && Date.now() < endMs) {
      await pause(Math.min(progressEveryMs, endMs - Date.now()), signal)
      const progress = fleet.progress()
      if (!isAnnounced && progress.connected === progress.devices) {
        isAnnounced = true
        announceReady({ devices: String(progress.devices) })
      }
      report(progress, fleet.startedMs, options.json)
      if (Date.now() - savedMs < stateEveryMs) continue
      saveState()
      savedMs = Date.now()
    }
    saveState()
    const { published, acknowledged, dropped, messages, errors: errorCount, devices } = await fleet.stop()
    await recording?.close()
    const seconds = Math.round((Date.now() - fleet.startedMs) / 100) / 10
    const result = { published, acknowledged, dropped, errors: errorCount, messages, devices, seed, seconds }
    if (options.json) printJson(result)
    else process.stdout.write(`\n${acknowledged} of ${published} readings acknowledged, ${errorCount} errors\n`)
    for (const [message, count] of errors) process.stderr.write(`${count} × ${message}\n`)
    return acknowledged > 0 || published === 0 ? 0 : 1
  },
}

async function credentialsFor(
  plant: readonly SimulatedDevice[],
  options: SimulateOptions,
  connection: Connection,
  ca: string | undefined,
): Promise<Map<string, DeviceCredentials>> {
  const deviceIds = plant.map(({ deviceId }) => deviceId)
  if (options.dps) {
    if (!connection.dps) throw new UsageError('--dps needs `dps` in the connection file: endpoint, idScope and groupKey')
    const devices = await provisionDevices(connection.dps, deviceIds, ca)
    return new Map(devices.map((device) => [device.deviceId, { ...device, ca }]))
  }
  const registry = new HubRegistry(connection.iotHub, ca)
  const scope = options['edge-device'] === undefined ? undefined : (await registry.get(options['edge-device']))?.deviceScope
  const devices = await registry.ensureDevices(deviceIds, scope)
  return new Map(
    devices.map(({ deviceId, key }) => [deviceId, { hubHost: registry.hubHost, gatewayHost: options.gateway, deviceId, key, ca }]),
  )
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
    ({ deviceId, kind, signal, onsetS, rampS, endS }) =>
      `${JSON.stringify({ run, deviceId, kind, signal, onset: at(onsetS), full: at(Math.min(onsetS + rampS, endS)), end: at(endS) })}\n`,
  )
  await appendFile(file, lines.join(''))
}
