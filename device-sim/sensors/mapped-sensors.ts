/** Reads the sensors that a configuration names. */
import { join } from 'node:path'
import { errorText } from '../../contract/error-text.ts'
import type { SensorSource } from './agent-config.ts'
import type { SensorValues } from './linux-sysfs.ts'
import { present } from './linux-sysfs.ts'
import { list, readIioChannel, readNumber, readOneWire, readText } from './sysfs-files.ts'

/** What the optional package `i2c-bus` gives, as far as it is used here. */
export type I2cBus = {
  readByte(address: number, register: number): Promise<number>
  readWord(address: number, register: number): Promise<number>
}
export type OpenI2c = (bus: number) => Promise<I2cBus>

const hwmonScale: Record<string, number> = { temp: 1e-3, in: 1e-3, curr: 1e-3, power: 1e-6, fan: 1 }

export class MappedSensors {
  readonly #root: string
  readonly #sources: Readonly<Record<string, SensorSource>>
  readonly #openI2c: OpenI2c
  readonly #buses = new Map<number, Promise<I2cBus>>()
  readonly #counters = new Map<string, { value: number; atMs: number }>()

  /** @param root `/sys`, or a tree of the same shape */
  constructor(sources: Readonly<Record<string, SensorSource>>, { root, openI2c }: { root: string; openI2c: OpenI2c }) {
    this.#sources = sources
    this.#root = root
    this.#openI2c = openI2c
  }

  async read(nowMs: number): Promise<SensorValues> {
    const entries = await Promise.all(
      Object.entries(this.#sources).map(async ([signal, source]) => [signal, await this.#value(signal, source, nowMs)] as const),
    )
    return present(Object.fromEntries(entries))
  }

  async #value(signal: string, source: SensorSource, nowMs: number): Promise<number | undefined> {
    const root = this.#root
    switch (source.source) {
      case 'thermal':
        return scaled(await readNumber(join((await this.#named('class/thermal', 'type', source.type)) ?? '', 'temp')), 1e-3)
      case 'hwmon': {
        const kind = /^[a-z]+/.exec(source.channel)![0]
        const chip = await this.#named('class/hwmon', 'name', source.chip)
        return chip === undefined ? undefined : scaled(await readNumber(join(chip, `${source.channel}_input`)), hwmonScale[kind]!)
      }
      case 'iio': {
        const device = await this.#named('bus/iio/devices', 'name', source.device)
        return device === undefined ? undefined : scaled(await readIioChannel(device, source.channel), source.scale, source.offset)
      }
      case 'w1':
        return readOneWire(root, source.id)
      case 'file':
        return scaled(await readNumber(join(root, source.path)), source.scale, source.offset)
      case 'counter':
        return scaled(this.#perSecond(signal, await readNumber(join(root, source.path)), nowMs), source.scale, source.offset)
      case 'i2c':
        return scaled(await this.#register(source), source.scale, source.offset)
      default:
        return source satisfies never
    }
  }

  /** The folder below `where` whose file `attribute` holds the name. Numbers of folders change from boot to boot. */
  async #named(where: string, attribute: string, name: string): Promise<string | undefined> {
    const folder = join(this.#root, where)
    for (const entry of await list(folder)) if ((await readText(join(folder, entry, attribute))) === name) return join(folder, entry)
    return undefined
  }

  #perSecond(signal: string, value: number | undefined, nowMs: number): number | undefined {
    if (value === undefined) return undefined
    const last = this.#counters.get(signal)
    this.#counters.set(signal, { value, atMs: nowMs })
    // A counter that went back began anew.
    if (!last || nowMs <= last.atMs || value < last.value) return undefined
    return ((value - last.value) * 1000) / (nowMs - last.atMs)
  }

  async #register(source: Extract<SensorSource, { source: 'i2c' }>): Promise<number | undefined> {
    let opening = this.#buses.get(source.bus)
    if (!opening) this.#buses.set(source.bus, (opening = this.#openI2c(source.bus)))
    const bus = await opening
    const { address, register, bytes, signed, littleEndian } = source
    try {
      const word = bytes === 1 ? await bus.readByte(address, register) : await bus.readWord(address, register)
      // SMBus words come low byte first; most sensors mean the other order.
      const value = bytes === 1 || littleEndian ? word : ((word & 0xff) << 8) | (word >> 8)
      const range = 2 ** (8 * bytes)
      return signed && value >= range / 2 ? value - range : value
    } catch {
      // An unplugged sensor does not answer.
      return undefined
    }
  }
}

function scaled(value: number | undefined, scale: number, offset = 0): number | undefined {
  return value === undefined ? undefined : value * scale + offset
}

/** Loads the optional package. @throws when it is not there, with what to do */
export async function openI2cBus(bus: number): Promise<I2cBus> {
  const name = 'i2c-bus'
  try {
    const { default: i2c } = (await import(name)) as { default: { openPromisified(bus: number): Promise<I2cBus> } }
    return await i2c.openPromisified(bus)
  } catch (error) {
    throw new Error(`I²C bus ${bus} cannot be opened: ${errorText(error)} (npm install i2c-bus)`, {
      cause: error,
    })
  }
}
