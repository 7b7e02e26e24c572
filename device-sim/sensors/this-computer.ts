/** All that this computer can measure of itself: sysfs on Linux, `systeminformation` for the rest and elsewhere. */
import { statfs } from 'node:fs/promises'
import { cpus, freemem, totalmem } from 'node:os'
import { parse } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import si from 'systeminformation'
import type { AgentConfig } from './agent-config.ts'
import { CpuLoad } from './cpu-load.ts'
import { present, readLinuxSensors, readNetworkCounters } from './linux-sysfs.ts'
import type { SensorValues } from './linux-sysfs.ts'
import { MappedSensors, openI2cBus } from './mapped-sensors.ts'
import { NetworkRates } from './network-rates.ts'

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
/** Windows and macOS tell some things to other programs alone: each question starts one, on Windows a PowerShell. */
const programsEveryMs = 10_000
/** Rates are counted from one reading to the next. */
const firstRatesMs = 600

export class ThisComputer {
  readonly #sysfsRoot: string
  readonly #mapped: MappedSensors
  readonly #isAutomatic: boolean
  readonly #load = new CpuLoad()
  readonly #network = new NetworkRates()
  readonly #programs = { asked: 0, lastMs: 0 }

  /** @param sysfsRoot `/sys`, or a tree of the same shape */
  constructor(sysfsRoot = '/sys', { automatic, signals }: Pick<AgentConfig, 'automatic' | 'signals'> = { automatic: true, signals: {} }) {
    this.#sysfsRoot = sysfsRoot
    this.#isAutomatic = automatic
    this.#mapped = new MappedSensors(signals, { root: sysfsRoot, openI2c: openI2cBus })
  }

  async read(nowMs: number): Promise<SensorValues> {
    const automatic = this.#isAutomatic ? [this.#system(), process.platform === 'linux' ? this.#linux(nowMs) : this.#others(nowMs)] : []
    const values = Object.assign({}, ...(await Promise.all([...automatic, this.#mapped.read(nowMs)]))) as SensorValues
    return Object.fromEntries(Object.entries(values).map(([signal, value]) => [signal, Number(value.toFixed(decimals[signal] ?? 3))]))
  }

  /** All that there is to measure, which takes a moment: rates want two readings. */
  async readAll(nowMs: () => number): Promise<SensorValues> {
    const first = await this.read(nowMs())
    await delay(firstRatesMs)
    return { ...first, ...(await this.read(nowMs())) }
  }

  async #system(): Promise<SensorValues> {
    const [memoryUsedPct, disk] = await Promise.all([memoryUsed(), quietly(() => statfs(parse(process.cwd()).root))])
    // As df says it: of what is there for everybody, not for root alone.
    const used = disk && disk.blocks - disk.bfree
    return present({
      cpuLoadPct: this.#load.since(cpus()),
      memoryUsedPct,
      diskUsedPct: disk && used !== undefined && used + disk.bavail > 0 ? (100 * used) / (used + disk.bavail) : undefined,
    })
  }

  async #linux(nowMs: number): Promise<SensorValues> {
    const [sensors, counters] = await Promise.all([readLinuxSensors(this.#sysfsRoot), readNetworkCounters(this.#sysfsRoot)])
    const rates = this.#network.since(counters, nowMs)
    return { ...present({ networkReceivedKbPerS: rates?.receivedKbPerS, networkSentKbPerS: rates?.sentKbPerS }), ...sensors }
  }

  async #others(nowMs: number): Promise<SensorValues> {
    // The first answer is what the second is compared with.
    if (this.#programs.asked >= 2 && nowMs - this.#programs.lastMs < programsEveryMs) return {}
    this.#programs.asked++
    this.#programs.lastMs = nowMs
    const [network, temperature] = await Promise.all([quietly(() => si.networkStats('*')), quietly(si.cpuTemperature)])
    return present({
      networkReceivedKbPerS: kbPerS(network?.map(({ rx_sec: perS }) => perS)),
      networkSentKbPerS: kbPerS(network?.map(({ tx_sec: perS }) => perS)),
      // null in a virtual machine: then it is absent.
      cpuTemperatureC: temperature?.main,
    })
  }
}

/** What macOS calls free holds nothing at all; the others say what is available. */
async function memoryUsed(): Promise<number | undefined> {
  if (process.platform !== 'darwin') return 100 * (1 - freemem() / totalmem())
  const memory = await quietly(si.mem)
  return memory && memory.total > 0 ? 100 * (1 - memory.available / memory.total) : undefined
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
