/** All that this computer can measure of itself: sysfs on Linux, `systeminformation` for the rest and elsewhere. */
import si from 'systeminformation'
import { present, readLinuxSensors } from './linux-sysfs.ts'
import type { SensorValues } from './linux-sysfs.ts'

const decimals: Record<string, number> = {
  cpuTemperatureC: 1,
  cpuLoadPct: 1,
  memoryUsedPct: 1,
  diskUsedPct: 2,
  fanRpm: 0,
  supplyVoltageV: 3,
  ambientTemperatureC: 2,
  relativeHumidityPct: 1,
}
/** The disk fills slowly, and asking costs a process. */
const diskEveryMs = 30_000

export class ThisComputer {
  readonly #sysfsRoot: string
  #disk: { readMs: number; usedPct: number | undefined } = { readMs: Number.NEGATIVE_INFINITY, usedPct: undefined }

  /** @param sysfsRoot `/sys`, or a tree of the same shape */
  constructor(sysfsRoot = '/sys') {
    this.#sysfsRoot = sysfsRoot
  }

  async read(nowMs: number): Promise<SensorValues> {
    const [fromSysfs, fromSystem] = await Promise.all([
      process.platform === 'linux' ? readLinuxSensors(this.#sysfsRoot) : {},
      this.#system(nowMs),
    ])
    const values: SensorValues = { ...fromSystem, ...fromSysfs }
    return Object.fromEntries(Object.entries(values).map(([signal, value]) => [signal, Number(value.toFixed(decimals[signal] ?? 3))]))
  }

  async #system(nowMs: number): Promise<SensorValues> {
    const [load, memory, temperature] = await Promise.all([
      quietly(si.currentLoad),
      quietly(si.mem),
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
      diskUsedPct: this.#disk.usedPct,
      // null in a virtual machine: then it is absent.
      cpuTemperatureC: temperature?.main,
    })
  }
}

/** A sensor that cannot be read on this machine is no failure of the agent. */
async function quietly<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch {
    return undefined
  }
}
