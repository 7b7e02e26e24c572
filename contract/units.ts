/**
 * Brings readings to the unit of the device model. Units are named as SenML (RFC 8798), DTDL or a person writes them;
 * all conversions are linear.
 */
import type { DeviceModel } from './device-model.ts'
import { MalformedTelemetryError } from './telemetry/malformed.ts'
import type { Series } from './telemetry/telemetry.ts'

type Unit = { readonly quantity: string; /** base = value x factor + offset */ readonly factor: number; readonly offset: number }

const unit = (quantity: string, factor: number, offset = 0): Unit => ({ quantity, factor, offset })

const inchM = 0.0254
const gallonM3 = 0.003785411784
const poundForceN = 4.4482216152605

/** Factors to the quantity's SI unit; NIST SP 811, appendix B. */
const units: readonly (readonly [readonly string[], Unit])[] = [
  [['K', 'kelvin'], unit('temperature', 1)],
  [['Cel', '°C', 'C', 'degreeCelsius', 'celsius'], unit('temperature', 1, 273.15)],
  [['°F', 'F', 'degF', 'degreeFahrenheit', 'fahrenheit'], unit('temperature', 5 / 9, 459.67 * (5 / 9))],
  [['Pa', 'pascal'], unit('pressure', 1)],
  [['hPa', 'mbar', 'millibar'], unit('pressure', 100)],
  [['kPa', 'kilopascal'], unit('pressure', 1e3)],
  [['MPa', 'megapascal'], unit('pressure', 1e6)],
  [['bar'], unit('pressure', 1e5)],
  [['psi', 'poundPerSquareInch'], unit('pressure', poundForceN / inchM ** 2)],
  [['m/s', 'metrePerSecond'], unit('velocity', 1)],
  [['mm/s', 'millimetrePerSecond'], unit('velocity', 1e-3)],
  [['in/s', 'inchPerSecond'], unit('velocity', inchM)],
  [['km/h', 'kilometrePerHour'], unit('velocity', 1 / 3.6)],
  [['mph', 'milePerHour'], unit('velocity', 0.44704)],
  [['m3/s', 'm³/s', 'cubicMetrePerSecond'], unit('volume-flow', 1)],
  [['m3/h', 'm³/h', 'cubicMetrePerHour'], unit('volume-flow', 1 / 3600)],
  [['l/min', 'L/min', 'litrePerMinute'], unit('volume-flow', 1e-3 / 60)],
  [['gpm', 'gal/min'], unit('volume-flow', gallonM3 / 60)],
  [['A', 'ampere'], unit('current', 1)],
  [['mA', 'milliampere'], unit('current', 1e-3)],
  [['V', 'volt'], unit('voltage', 1)],
  [['mV', 'millivolt'], unit('voltage', 1e-3)],
  [['W', 'watt'], unit('power', 1)],
  [['kW', 'kilowatt'], unit('power', 1e3)],
  [['hp', 'horsepower'], unit('power', 745.6998715822702)],
  [['m', 'metre'], unit('length', 1)],
  [['mm', 'millimetre'], unit('length', 1e-3)],
  [['km', 'kilometre'], unit('length', 1e3)],
  [['in', 'inch'], unit('length', inchM)],
  [['%', '%RH', 'percent'], unit('ratio', 0.01)],
  [['/', '1', 'unity'], unit('ratio', 1)],
  [['ppm'], unit('ratio', 1e-6)],
  [['1/s', 'Hz', 'hertz'], unit('frequency', 1)],
  [['rpm', '1/min', 'revolutionPerMinute'], unit('frequency', 1 / 60)],
  [['s', 'second'], unit('time', 1)],
  [['ms', 'millisecond'], unit('time', 1e-3)],
  [['min', 'minute'], unit('time', 60)],
  [['h', 'hour'], unit('time', 3600)],
]
const byName: ReadonlyMap<string, Unit> = new Map(units.flatMap(([names, value]) => names.map((name) => [name, value] as const)))

/** `y = x * factor + offset`, or undefined when the two do not measure the same quantity. */
export function conversion(from: string, to: string): { readonly factor: number; readonly offset: number } | undefined {
  if (from === to) return { factor: 1, offset: 0 }
  const [source, target] = [byName.get(from), byName.get(to)]
  if (!source || !target || source.quantity !== target.quantity) return undefined
  return { factor: source.factor / target.factor, offset: (source.offset - target.offset) / target.factor }
}

/**
 * The series under the model's names and in its units; those that fit already are returned as they are.
 * @throws MalformedTelemetryError when a unit measures something else
 */
export function inModelUnits(series: Series, model: DeviceModel | undefined): Series {
  if (model === undefined) return series
  const alias = aliasOf(model, series.signal)
  const signal = alias?.signal ?? series.signal
  const from = series.unit ?? alias?.unit
  const wanted = model.signals[signal]
  if (from === undefined || wanted === undefined || from === wanted.unit) return signal === series.signal ? series : { ...series, signal }
  const rule = conversion(from, wanted.unit)
  if (!rule) throw new MalformedTelemetryError('wrong-unit', `'${signal}' came in '${from}', the model has '${wanted.unit}'`)
  // One decimal more than the model's: conversion must not cost what the sensor measured, nor invent digits.
  const precision = 10 ** (wanted.decimals + 1)
  return {
    ...series,
    signal,
    values: series.values.map((value) => Math.round((value * rule.factor + rule.offset) * precision) / precision),
  }
}

function aliasOf(model: DeviceModel, name: string): { signal: string; unit: string } | undefined {
  if (model.signals[name]) return undefined
  for (const [signal, { aliases }] of Object.entries(model.signals)) {
    const alias = Object.hasOwn(aliases, name) ? aliases[name] : undefined
    if (alias) return { signal, unit: alias.unit }
  }
  return undefined
}
