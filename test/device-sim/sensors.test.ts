import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { deviceModel } from '../../contract/device-model.ts'
import { AgentConfig } from '../../device-sim/sensors/agent-config.ts'
import { CpuLoad } from '../../device-sim/sensors/cpu-load.ts'
import { readLinuxSensors, readNetworkCounters } from '../../device-sim/sensors/linux-sysfs.ts'
import { MappedSensors } from '../../device-sim/sensors/mapped-sensors.ts'
import { NetworkRates } from '../../device-sim/sensors/network-rates.ts'
import { ThisComputer } from '../../device-sim/sensors/this-computer.ts'

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

describe('traffic of the network', () => {
  const at = (counts: Record<string, [number, number]>) =>
    new Map(Object.entries(counts).map(([name, [received, sent]]) => [name, { received, sent }]))

  test('is counted at the interfaces that are hardware', async () => {
    tree({
      'class/net/eth0/device/vendor': '0x1af4',
      'class/net/eth0/statistics/rx_bytes': '1000\n',
      'class/net/eth0/statistics/tx_bytes': '500\n',
      'class/net/docker0/statistics/rx_bytes': '70\n',
      'class/net/docker0/statistics/tx_bytes': '70\n',
    })
    expect(await readNetworkCounters(root)).toEqual(at({ eth0: [1_000, 500] }))
  })

  test('is that of all but the loopback in a container, which has no hardware', async () => {
    for (const name of ['eth0', 'lo'])
      tree({ [`class/net/${name}/statistics/rx_bytes`]: '10\n', [`class/net/${name}/statistics/tx_bytes`]: '20\n' })
    expect(await readNetworkCounters(root)).toEqual(at({ eth0: [10, 20] }))
  })

  test('is a rate from one reading to the next; an interface that was replugged counts again from the next', () => {
    const rates = new NetworkRates()
    expect(rates.since(at({ eth0: [1_000, 500] }), 0)).toBeUndefined()
    expect(rates.since(at({ eth0: [5_000, 500], wlan0: [9_000_000, 1] }), 2_000)).toEqual({ receivedKbPerS: 2, sentKbPerS: 0 })
    expect(rates.since(at({ eth0: [100, 100], wlan0: [9_001_000, 1_001] }), 3_000)).toEqual({ receivedKbPerS: 1, sentKbPerS: 1 })
    expect(rates.since(at({}), 4_000)).toBeUndefined()
  })
})

test('the load of the processors is what they were busy since the last reading', () => {
  const core = (idle: number, user: number) => ({ times: { idle, user, nice: 0, sys: 0, irq: 0 } })
  const load = new CpuLoad()
  expect(load.since([core(1_000, 500), core(1_000, 500)])).toBeUndefined()
  expect(load.since([core(1_000, 1_500), core(2_000, 500)])).toBe(50)
  expect(load.since([core(2_000, 1_500)])).toBeUndefined()
})

describe('mapped sensors', () => {
  const registers: Record<string, number> = { '72/0': 0x8019 }
  const openI2c = async () => ({
    readByte: async (address: number, register: number) => registers[`${address}/${register}`] ?? Promise.reject(new Error('EREMOTEIO')),
    readWord: async (address: number, register: number) => registers[`${address}/${register}`] ?? Promise.reject(new Error('EREMOTEIO')),
  })
  const mapped = (signals: Record<string, unknown>) => new MappedSensors(AgentConfig.parse({ signals }).signals, { root, openI2c })

  test('are found by name, wherever the kernel has numbered them', async () => {
    tree({
      'class/thermal/thermal_zone3/type': 'cpu-thermal\n',
      'class/thermal/thermal_zone3/temp': '47123\n',
      'class/hwmon/hwmon7/name': 'nct6775\n',
      'class/hwmon/hwmon7/fan2_input': '1180\n',
      'class/hwmon/hwmon7/power1_input': '12500000\n',
      'bus/iio/devices/iio:device2/name': 'bme280\n',
      'bus/iio/devices/iio:device2/in_pressure_input': '101.325\n',
      'bus/w1/devices/28-0316a2792bff/temperature': '4437\n',
      'bus/w1/devices/28-0316a2792b00/w1_slave': '72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n',
      'class/leds/led0/brightness': '255\n',
    })
    const values = await mapped({
      cpuC: { source: 'thermal', type: 'cpu-thermal' },
      fanRpm: { source: 'hwmon', chip: 'nct6775', channel: 'fan2' },
      boardW: { source: 'hwmon', chip: 'nct6775', channel: 'power1' },
      airHpa: { source: 'iio', device: 'bme280', channel: 'pressure', scale: 10 },
      cellarC: { source: 'w1', id: '28-0316a2792bff' },
      roomC: { source: 'w1', id: '28-0316a2792b00' },
      lamp: { source: 'file', path: 'class/leds/led0/brightness', scale: 1 / 255 },
      boardC: { source: 'i2c', bus: 1, address: 0x48, register: 0, scale: 1 / 256 },
      nothing: { source: 'w1', id: '28-ffffffffffff' },
      unplugged: { source: 'i2c', bus: 1, address: 0x49, register: 0 },
    }).read(0)
    expect(values).toEqual({
      cpuC: 47.123,
      fanRpm: 1180,
      boardW: 12.5,
      airHpa: 1013.25,
      cellarC: 4.437,
      roomC: 23.125,
      lamp: 1,
      boardC: 25.5,
    })
  })

  test('a counter is told as what it gains a second, and says nothing when it began anew', async () => {
    const sensors = mapped({ rxBytesPerS: { source: 'counter', path: 'class/net/eth0/statistics/rx_bytes' } })
    const at = async (nowMs: number, bytes: number) => {
      tree({ 'class/net/eth0/statistics/rx_bytes': `${bytes}\n` })
      return (await sensors.read(nowMs)).rxBytesPerS
    }
    expect(await at(0, 1_000)).toBeUndefined()
    expect(await at(2_000, 5_000)).toBe(2_000)
    expect(await at(4_000, 10)).toBeUndefined()
  })

  test('a thermometer that has just been powered says 85 °C, and is not believed', async () => {
    tree({ 'bus/w1/devices/28-0316a2792bff/temperature': '85000\n' })
    expect(await mapped({ cellarC: { source: 'w1', id: '28-0316a2792bff' } }).read(0)).toEqual({})
  })

  test('a configuration that leaves /sys, or names no source, is refused', () => {
    for (const source of [{ source: 'file', path: '../etc/passwd' }, { source: 'file', path: '/etc/passwd' }, { source: 'dht22' }])
      expect(AgentConfig.safeParse({ signals: { x: source } }).success).toBe(false)
  })
})

describe('this computer', () => {
  test('measures something of itself, with the signals of its model', async () => {
    const values = await new ThisComputer().readAll(Date.now)
    expect(Object.keys(values)).toEqual(expect.arrayContaining(['cpuLoadPct', 'memoryUsedPct', 'diskUsedPct']))
    const { signals } = deviceModel('dtmi:millwright:Computer;1')!
    for (const signal of Object.keys(values)) expect(Object.keys(signals)).toContain(signal)
  })
})
