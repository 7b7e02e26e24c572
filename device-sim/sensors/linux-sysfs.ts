/** Real sensors from Linux sysfs: thermal zones, hwmon and industrial I/O. Plain files, no driver, no dependency. */
import { join } from 'node:path'
import type { NetworkCounters } from './network-rates.ts'
import { list, readIioChannel, readNumber, readOneWire } from './sysfs-files.ts'

/** Values by signal of the Computer model. What cannot be read is absent. */
export type SensorValues = Record<string, number>

/** @param root `/sys`, or a tree of the same shape */
export async function readLinuxSensors(root: string): Promise<SensorValues> {
  const [thermal, hwmon, iio, oneWireC, batteryPct] = await Promise.all([
    thermalZones(root),
    hwmonSensors(root),
    industrialIo(root),
    firstOneWire(root),
    battery(root),
  ])
  const temperatures = [...thermal, ...hwmon.temperaturesC]
  return present({
    cpuTemperatureC: temperatures.length > 0 ? Math.max(...temperatures) : undefined,
    fanRpm: hwmon.fanRpm,
    supplyVoltageV: hwmon.voltageV,
    ...iio,
    ambientTemperatureC: iio.ambientTemperatureC ?? oneWireC,
    batteryPct,
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

/** Channels of `/sys/bus/iio`, in milli-units. */
async function industrialIo(
  root: string,
): Promise<Record<'ambientTemperatureC' | 'relativeHumidityPct' | 'airPressureHpa', number | undefined>> {
  const folder = join(root, 'bus', 'iio', 'devices')
  let ambientTemperatureC: number | undefined
  let relativeHumidityPct: number | undefined
  let airPressureHpa: number | undefined
  for (const device of await list(folder)) {
    const path = join(folder, device)
    const [temperature, humidity, pressure] = await Promise.all([
      readIioChannel(path, 'temp'),
      readIioChannel(path, 'humidityrelative'),
      readIioChannel(path, 'pressure'),
    ])
    if (temperature !== undefined && isPlausibleC(temperature / 1000)) ambientTemperatureC ??= temperature / 1000
    if (humidity !== undefined) relativeHumidityPct ??= humidity / 1000
    // Kilopascal in the kernel's words.
    if (pressure !== undefined) airPressureHpa ??= pressure * 10
  }
  return { ambientTemperatureC, relativeHumidityPct, airPressureHpa }
}

/** The first thermometer on the 1-wire bus; more of them need names of their own, which a configuration gives. */
async function firstOneWire(root: string): Promise<number | undefined> {
  for (const id of await list(join(root, 'bus', 'w1', 'devices'))) {
    const celsius = /^(10|22|28|3b|42)-/.test(id) ? await readOneWire(root, id) : undefined
    if (celsius !== undefined) return celsius
  }
  return undefined
}

async function battery(root: string): Promise<number | undefined> {
  const folder = join(root, 'class', 'power_supply')
  for (const supply of await list(folder)) {
    const capacity = await readNumber(join(folder, supply, 'capacity'))
    if (capacity !== undefined) return capacity
  }
  return undefined
}

/** Of the interfaces that are hardware, or where there are none (a container), of all but the loopback. */
export async function readNetworkCounters(root: string): Promise<NetworkCounters> {
  const folder = join(root, 'class', 'net')
  const found = await Promise.all(
    (await list(folder)).map(async (name) => {
      const [received, sent, inside] = await Promise.all([
        readNumber(join(folder, name, 'statistics', 'rx_bytes')),
        readNumber(join(folder, name, 'statistics', 'tx_bytes')),
        list(join(folder, name, 'device')),
      ])
      return { name, received, sent, isHardware: inside.length > 0 }
    }),
  )
  const hardware = found.filter(({ isHardware }) => isHardware)
  const counted = hardware.length > 0 ? hardware : found.filter(({ name }) => name !== 'lo')
  return new Map(
    counted.flatMap(({ name, received, sent }) => (received === undefined || sent === undefined ? [] : [[name, { received, sent }]])),
  )
}

function isPlausibleC(celsius: number): boolean {
  return celsius > -60 && celsius < 150 && celsius !== 0
}

export function present(values: Record<string, number | null | undefined>): SensorValues {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, number] => typeof entry[1] === 'number' && Number.isFinite(entry[1])),
  )
}
