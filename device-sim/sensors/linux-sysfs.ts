/** Real sensors from Linux sysfs: thermal zones, hwmon and industrial I/O. Plain files, no driver, no dependency. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Values by signal of the Computer model. What cannot be read is absent. */
export type SensorValues = Record<string, number>

/** @param root `/sys`, or a tree of the same shape */
export async function readLinuxSensors(root: string): Promise<SensorValues> {
  const [thermal, hwmon, iio] = await Promise.all([thermalZones(root), hwmonSensors(root), industrialIo(root)])
  const temperatures = [...thermal, ...hwmon.temperaturesC]
  return present({
    cpuTemperatureC: temperatures.length > 0 ? Math.max(...temperatures) : undefined,
    fanRpm: hwmon.fanRpm,
    supplyVoltageV: hwmon.voltageV,
    ...iio,
  })
}

async function thermalZones(root: string): Promise<number[]> {
  const folder = join(root, 'class', 'thermal')
  const zones = (await list(folder)).filter((name) => name.startsWith('thermal_zone'))
  const readings = await Promise.all(zones.map((zone) => readNumber(join(folder, zone, 'temp'))))
  // Millidegrees. A zone that is switched off says something impossible.
  return readings.flatMap((milli) => (milli !== undefined && isPlausibleC(milli / 1000) ? [milli / 1000] : []))
}

async function hwmonSensors(root: string): Promise<{ temperaturesC: number[]; fanRpm: number | undefined; voltageV: number | undefined }> {
  const folder = join(root, 'class', 'hwmon')
  const temperaturesC: number[] = []
  let fanRpm: number | undefined
  let voltageV: number | undefined
  for (const chip of await list(folder)) {
    for (const file of await list(join(folder, chip))) {
      if (/^temp\d+_input$/.test(file)) {
        const milli = await readNumber(join(folder, chip, file))
        if (milli !== undefined && isPlausibleC(milli / 1000)) temperaturesC.push(milli / 1000)
      } else if (/^fan\d+_input$/.test(file)) {
        fanRpm ??= await readNumber(join(folder, chip, file))
      } else if (/^in\d+_input$/.test(file)) {
        const milli = await readNumber(join(folder, chip, file))
        voltageV ??= milli === undefined ? undefined : milli / 1000
      }
    }
  }
  return { temperaturesC, fanRpm, voltageV }
}

/** Channels of `/sys/bus/iio`: a processed `_input`, or `(_raw + _offset) x _scale`, in milli-units. */
async function industrialIo(root: string): Promise<{ ambientTemperatureC: number | undefined; relativeHumidityPct: number | undefined }> {
  const folder = join(root, 'bus', 'iio', 'devices')
  let ambientTemperatureC: number | undefined
  let relativeHumidityPct: number | undefined
  for (const device of await list(folder)) {
    const milli = async (channel: string) => {
      const path = (suffix: string) => join(folder, device, `in_${channel}_${suffix}`)
      const processed = await readNumber(path('input'))
      if (processed !== undefined) return processed
      const [raw, offset = 0, scale = 1] = await Promise.all([
        readNumber(path('raw')),
        readNumber(path('offset')),
        readNumber(path('scale')),
      ])
      return raw === undefined ? undefined : (raw + offset) * scale
    }
    const temperature = await milli('temp')
    const humidity = await milli('humidityrelative')
    if (temperature !== undefined && isPlausibleC(temperature / 1000)) ambientTemperatureC ??= temperature / 1000
    if (humidity !== undefined) relativeHumidityPct ??= humidity / 1000
  }
  return { ambientTemperatureC, relativeHumidityPct }
}

function isPlausibleC(celsius: number): boolean {
  return celsius > -60 && celsius < 150 && celsius !== 0
}

/** Missing folders, unplugged devices and busy drivers are normal here: the value is simply not there. */
async function readNumber(path: string): Promise<number | undefined> {
  try {
    const text = (await readFile(path, 'utf8')).trim()
    const value = Number(text)
    return text !== '' && Number.isFinite(value) ? value : undefined
  } catch {
    return undefined
  }
}

async function list(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort()
  } catch {
    return []
  }
}

export function present(values: Record<string, number | null | undefined>): SensorValues {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, number] => typeof entry[1] === 'number' && Number.isFinite(entry[1])),
  )
}
