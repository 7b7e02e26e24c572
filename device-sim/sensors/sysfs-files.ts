/** Numbers in sysfs. Missing folders, unplugged devices and busy drivers are normal there: the value is simply not there. */
import { readdir, readFile } from 'node:fs/promises'

export async function readText(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch {
    return undefined
  }
}

export async function readNumber(path: string): Promise<number | undefined> {
  const text = await readText(path)
  const value = Number(text)
  return text !== undefined && text !== '' && Number.isFinite(value) ? value : undefined
}

export async function list(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort()
  } catch {
    return []
  }
}

/** A channel of industrial I/O: a processed `_input`, or `(_raw + _offset) x _scale`. */
export async function readIioChannel(folder: string, channel: string): Promise<number | undefined> {
  const path = (suffix: string) => `${folder}/in_${channel}_${suffix}`
  const processed = await readNumber(path('input'))
  if (processed !== undefined) return processed
  const [raw, offset = 0, scale = 1] = await Promise.all([readNumber(path('raw')), readNumber(path('offset')), readNumber(path('scale'))])
  return raw === undefined ? undefined : (raw + offset) * scale
}

/** A DS18B20 or its kin on the 1-wire bus, in °C. 85 is what it says when it has just been powered, not a measurement. */
export async function readOneWire(root: string, id: string): Promise<number | undefined> {
  const folder = `${root}/bus/w1/devices/${id}`
  const milli = (await readNumber(`${folder}/temperature`)) ?? oneWireMilli(await readText(`${folder}/w1_slave`))
  return milli === undefined || milli === 85_000 ? undefined : milli / 1000
}

/** The older driver's two lines: `… crc=xx YES` and `… t=21375`. */
function oneWireMilli(text: string | undefined): number | undefined {
  const match = /crc=\w+ YES[\s\S]*t=(-?\d+)/.exec(text ?? '')
  return match ? Number(match[1]) : undefined
}
