import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readLinuxSensors } from '../../device-sim/sensors/linux-sysfs.ts'

let root: string
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'sysfs-'))))
afterEach(() => rmSync(root, { recursive: true }))

/** A tree like /sys, from paths to contents. */
function tree(files: Record<string, string>): void {
  for (const [path, contents] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), contents)
  }
}

describe('Linux sensors', () => {
  test('are read from thermal zones, hwmon and industrial I/O', async () => {
    tree({
      'class/thermal/thermal_zone0/temp': '48250\n',
      'class/thermal/thermal_zone1/temp': '51000\n',
      'class/thermal/cooling_device0/cur_state': '0\n',
      'class/hwmon/hwmon0/temp1_input': '39000\n',
      'class/hwmon/hwmon0/fan1_input': '2140\n',
      'class/hwmon/hwmon1/in0_input': '5123\n',
      'bus/iio/devices/iio:device0/in_temp_input': '21540\n',
      'bus/iio/devices/iio:device0/in_humidityrelative_raw': '2300\n',
      'bus/iio/devices/iio:device0/in_humidityrelative_offset': '-100\n',
      'bus/iio/devices/iio:device0/in_humidityrelative_scale': '20\n',
    })
    expect(await readLinuxSensors(root)).toEqual({
      cpuTemperatureC: 51,
      fanRpm: 2140,
      supplyVoltageV: 5.123,
      ambientTemperatureC: 21.54,
      relativeHumidityPct: 44,
    })
  })

  test('that are missing, broken or switched off are absent, never invented', async () => {
    expect(await readLinuxSensors(root)).toEqual({})
    tree({
      'class/thermal/thermal_zone0/temp': 'N/A\n',
      'class/thermal/thermal_zone1/temp': '-274000\n',
      'class/hwmon/hwmon0/temp1_input': '',
      'bus/iio/devices/iio:device0/name': 'bme280',
    })
    expect(await readLinuxSensors(root)).toEqual({})
  })
})
