/** All that this computer can measure of itself: sysfs on Linux, `systeminformation` for the rest and elsewhere. */
import si from 'systeminformation'
import type { AgentConfig } from './agent-config.ts'
import { present, readLinuxSensors } from './linux-sysfs.ts'
import type { SensorValues } from './linux-sysfs.ts'
import { MappedSensors, openI2cBus } from './mapped-sensors.ts'

const decimals: Record<string, number> = {
  cpuTemperatureC: 1,
  cpuLoadPct: 1,
  memoryUsedPct: 1,
  diskUsedPct: 2,
  fanRpm: 0,
  supplyVoltageV: 3,
  ambientTemperatureC: 2,
  relativeHumidityPct: 1,
  airPressureHpa: 2,
  batteryPct: 0,
  networkReceivedKbPerS: 1,
  networkSentKbPerS: 1,
}
/** The disk fills slowly, and asking costs a process. */
const diskEveryMs = 30_000

export class ThisComputer {
  readonly #sysfsRoot: string
  readonly #mapped: MappedSensors
  readonly #isAutomatic: boolean
  #disk: { readMs: number; usedPct: number | undefined } = { readMs: Number.NEGATIVE_INFINITY, usedPct: undefined }

  /** @param sysfsRoot `/sys`, or a tree of the same shape */
  constructor(sysfsRoot = '/sys', { automatic, signals }: Pick<AgentConfig, 'automatic' | 'signals'> = { automatic: true, signals: {} }) {
    this.#sysfsRoot = sysfsRoot
    this.#isAutomatic = automatic
    this.#mapped = new MappedSensors(signals, { root: sysfsRoot, openI2c: openI2cBus })
  }

  async read(nowMs: number): Promise<SensorValues> {
    const [fromSysfs, fromSystem, mapped] = await Promise.all([
      process.platform === 'linux' && this.#isAutomatic ? readLinuxSensors(this.#sysfsRoot) : {},
      this.#isAutomatic ? this.#system(nowMs) : {},
      this.#mapped.read(nowMs),
    ])
    const values: SensorValues = { ...fromSystem, ...fromSysfs, ...mapped }
    return Object.fromEntries(Object.entries(values).map(([signal, value]) => [signal, Number(value.toFixed(decimals[signal] ?? 3))]))
  }

  async #system(nowMs: number): Promise<SensorValues> {
    const [load, memory, network, temperature] = await Promise.all([
      quietly(si.currentLoad),
      quietly(si.mem),
      quietly(() => si.networkStats('*')),
      process.platform === 'linux' ? undefined : quietly(si.cpuTemperature),
    ])
    if (nowMs - this.#disk.readMs > diskEveryMs) {
      const sizes = await quietly(si.fsSize)
      const root = sizes?.find(({ mount }) => mount === '/' || /^[A-Z]:$/.test(mount)) ?? sizes?.[0]
      this.#disk = { readMs: nowMs, usedPct: root?.use }
    }
    return present({
      cpuLoadPct: load?.currentLoad,
      memoryUsedPct: memory && memory.total > 0 ? 100 * (1 - memory.available / memory.total) : undefined,
      // The first call has nothing to compare with.
      networkReceivedKbPerS: kbPerS(network?.map(({ rx_sec: perS }) => perS)),
      networkSentKbPerS: kbPerS(network?.map(({ tx_sec: perS }) => perS)),
      diskUsedPct: this.#disk.usedPct,
      // null in a virtual machine: then it is absent.
      cpuTemperatureC: temperature?.main,
    })
  }
}

function kbPerS(perInterface: readonly (number | null)[] | undefined): number | undefined {
  const known = perInterface?.filter((perS) => perS !== null)
  return known && known.length > 0 ? known.reduce((sum, perS) => sum + perS, 0) / 1000 : undefined
}

/** A sensor that cannot be read on this machine is no failure of the agent. */
async function quietly<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch {
    return undefined
  }
}
