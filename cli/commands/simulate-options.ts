/** Options of `millwright simulate`, and the plant that they and a fleet file plan together. */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { errorText } from '../../contract/error-text.ts'
import { physicalFaultKinds, randomFaults, sensorFaultKinds } from '../../device-sim/faults/fault.ts'
import type { PlannedFault } from '../../device-sim/faults/fault.ts'
import { FleetFile, machinesOf } from '../../device-sim/fleet-file.ts'
import { machineKindNames } from '../../device-sim/machine-kinds.ts'
import { createPlant, mixedMachines } from '../../device-sim/plant.ts'
import type { DeviceState, PlannedMachine, SimulatedDevice } from '../../device-sim/plant.ts'
import { readPlantState } from '../../device-sim/plant-state.ts'
import { Duration, noPositionals, NumberText, UsageError } from '../command.ts'

/** `pump-002:bearing-wear:40s[:ramp[:length]]`, a sensor's fault as `pump-002/flowM3PerH:stuck:40s`. */
const FaultOption = z.string().transform((text, context): PlannedFault => {
  const [target = '', kind = '', onset = '', ramp = '12s', length = '5m'] = text.split(':')
  const [deviceId = '', signal] = target.split('/')
  const [onsetMs, rampMs, lengthMs] = [onset, ramp, length].map((part) => Duration.safeParse(part))
  if (deviceId === '' || kind === '' || !onsetMs?.success || !rampMs?.success || !lengthMs?.success) {
    context.issues.push({
      code: 'custom',
      input: text,
      message: `'${text}' is not DEVICE[/SIGNAL]:KIND:ONSET[:RAMP[:LENGTH]], for example pump-002:bearing-wear:40s`,
    })
    return z.NEVER
  }
  const onsetS = onsetMs.data / 1000
  return { deviceId, kind, ...(signal ? { signal } : {}), onsetS, rampS: rampMs.data / 1000, endS: onsetS + lengthMs.data / 1000 }
})

export const SimulateOptions = z
  .object({
    devices: NumberText.pipe(z.int().min(1).max(20_000)).optional(),
    rate: NumberText.pipe(z.number().positive().max(1_000)).default(1),
    seed: z.string().optional(),
    for: Duration.optional(),
    target: z.string().optional(),
    gateway: z.string().optional(),
    'edge-device': z.string().optional(),
    dps: z.boolean().default(false),
    fleet: z.string().optional(),
    fault: z.array(FaultOption).default([]),
    'fault-rate': NumberText.pipe(z.number().positive().max(1_000)).optional(),
    truth: z.string().optional(),
    record: z.string().optional(),
    state: z.string().optional(),
    ramp: Duration.optional(),
    jitter: NumberText.pipe(z.number().min(0).max(90)).default(2),
    json: z.boolean().default(false),
    positionals: noPositionals,
  })
  .refine(
    ({ dps, gateway }) => !dps || gateway === undefined,
    '--dps and --gateway exclude each other: a device behind a gateway is registered with it',
  )
export type SimulateOptions = z.infer<typeof SimulateOptions>

export const simulateSpec = {
  devices: { type: 'string' },
  rate: { type: 'string' },
  seed: { type: 'string' },
  for: { type: 'string' },
  target: { type: 'string' },
  gateway: { type: 'string' },
  'edge-device': { type: 'string' },
  dps: { type: 'boolean' },
  fleet: { type: 'string' },
  fault: { type: 'string', multiple: true },
  'fault-rate': { type: 'string' },
  truth: { type: 'string' },
  record: { type: 'string' },
  state: { type: 'string' },
  ramp: { type: 'string' },
  jitter: { type: 'string' },
  json: { type: 'boolean' },
} as const

const devicesDefault = 24
/** Faults by chance are planned this far ahead when the run has no end. */
const openEndedS = 86_400

export type PlannedPlant = {
  readonly plant: readonly SimulatedDevice[]
  readonly faults: readonly PlannedFault[]
  readonly seed: string
  readonly ratePerSOf: (deviceId: string) => number
}

/** @throws UsageError naming what does not fit */
export async function planPlant(options: SimulateOptions): Promise<PlannedPlant> {
  const file = options.fleet === undefined ? undefined : await readFleetFile(options.fleet)
  if (file && options.devices !== undefined)
    throw new UsageError('--devices and --fleet exclude each other: the file says which machines there are')
  const machines: readonly (PlannedMachine & { ratePerS?: number | undefined })[] = file
    ? machinesOf(file)
    : mixedMachines(options.devices ?? devicesDefault)
  const seed = options.seed ?? file?.seed ?? 'millwright'
  const fromFile = (file?.faults ?? []).map(({ device, lengthS, ...fault }) => ({
    ...fault,
    deviceId: device,
    endS: fault.onsetS + lengthS,
  }))
  const planned = [...fromFile, ...options.fault]
  const states = options.state === undefined ? new Map<string, DeviceState>() : readStates(options.state, seed)
  const plan = (faults: readonly PlannedFault[]) => createPlant({ machines, seed, faults, meanOutdoorC: file?.meanOutdoorC, states })
  const healthy = new Map(plan([]).map((machine) => [machine.deviceId, machine]))
  for (const fault of planned) checkFault(fault, healthy)
  const byChance =
    options['fault-rate'] === undefined
      ? []
      : randomFaults([...healthy.values()], { perDay: options['fault-rate'], untilS: (options.for ?? openEndedS * 1000) / 1000, seed })
  const faults = [...planned, ...byChance]
  const rates = new Map(machines.map(({ deviceId, ratePerS }) => [deviceId, ratePerS ?? options.rate]))
  return { plant: plan(faults), faults, seed, ratePerSOf: (deviceId) => rates.get(deviceId) ?? options.rate }
}

async function readFleetFile(path: string): Promise<FleetFile> {
  let value: unknown
  try {
    value = JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    throw new UsageError(`the fleet file '${path}' cannot be read: ${errorText(error)}`)
  }
  const result = FleetFile.safeParse(value)
  if (!result.success) throw new UsageError(`the fleet file '${path}' is wrong:\n${z.prettifyError(result.error)}`)
  return result.data
}

function readStates(path: string, seed: string): Map<string, DeviceState> {
  try {
    return readPlantState(path, seed)
  } catch (error) {
    throw new UsageError(`the state '${path}' cannot be read, without it the machines begin anew: ${errorText(error)}`)
  }
}

function checkFault(fault: PlannedFault, machines: ReadonlyMap<string, SimulatedDevice>): void {
  const machine = machines.get(fault.deviceId)
  if (!machine) throw new UsageError(`the fault names '${fault.deviceId}', which is not among the ${machines.size} devices`)
  if (!machine.faultKinds.includes(fault.kind))
    throw new UsageError(`'${fault.deviceId}' has no fault '${fault.kind}'; it has ${machine.faultKinds.join(', ')}`)
  if (fault.signal !== undefined && !machine.signals.includes(fault.signal))
    throw new UsageError(`'${fault.deviceId}' has no signal '${fault.signal}'; it has ${machine.signals.join(', ')}`)
}

/** Faults by kind of machine, for the help text. */
export function faultHelp(): string {
  const machines = machineKindNames.map((kind) => `                     ${kind.padEnd(11)} ${physicalFaultKinds(kind).join(' ')}`)
  return `${machines.join('\n')}
                   sensors (DEVICE/SIGNAL):
                     ${sensorFaultKinds.slice(0, 5).join(' ')}
                     ${sensorFaultKinds.slice(5).join(' ')}
                   clocks      clock-step clock-drift
                   the way     duplicate disorder network-flap power-loss`
}
