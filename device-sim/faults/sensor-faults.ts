/** What a broken sensor makes of a true value. Sizes are in units of what the sensor resolves, so that they fit every signal. */
import type { SignalModel } from '../../contract/device-model.ts'
import { conversion } from '../../contract/units.ts'
import type { Random } from '../random.ts'
import type { SensorFaultKind } from './fault.ts'

/** Sizes in units of the signal's deadband, which is about three times its noise. */
const sizes = { spike: 40, levelShift: 25, drift: 60, noise: 15, saturation: 3, calibration: 10 } as const
const spikeEvery = 20

/** Units that people mix up with the model's. */
const mistakenUnits = ['°F', 'psi', 'in/s', 'mA', 'W', 'l/min', 'mm', 'mph', 'Hz', '1', 'kPa', '%']

/** A fault of one signal through its life: it may remember what the sensor said when it began. */
export class SensorFault {
  readonly #kind: SensorFaultKind
  readonly #unit: number
  readonly #slip: { readonly factor: number; readonly offset: number }
  readonly #random: Random
  #atOnset: number | undefined
  #readings = 0

  constructor(kind: SensorFaultKind, model: SignalModel | undefined, random: Random) {
    this.#kind = kind
    this.#unit = Math.max(model?.deadband ?? 0.01, 10 ** -(model?.decimals ?? 3))
    this.#slip = slipOf(model)
    this.#random = random
  }

  /** @returns undefined when the sensor says nothing */
  apply(value: number, severity: number): number | undefined {
    this.#atOnset ??= value
    const reading = this.#readings++
    switch (this.#kind) {
      case 'spike':
        return reading % spikeEvery === 0 ? value + sizes.spike * this.#unit : value
      case 'level-shift':
        return value + sizes.levelShift * this.#unit
      case 'drift':
        return value + sizes.drift * this.#unit * severity
      case 'stuck':
        return this.#atOnset
      case 'dropout':
        return undefined
      case 'noise-burst':
        return value + sizes.noise * this.#unit * this.#random.normal()
      case 'saturation':
        return Math.min(value, this.#atOnset + sizes.saturation * this.#unit * (1 - 2 * severity))
      case 'unit-slip':
        return value * this.#slip.factor + this.#slip.offset
      case 'calibration-offset':
        return value + sizes.calibration * this.#unit
      default:
        return this.#kind satisfies never
    }
  }
}

function slipOf(model: SignalModel | undefined): { factor: number; offset: number } {
  for (const mistaken of mistakenUnits) {
    const rule = model && mistaken !== model.unit ? conversion(model.unit, mistaken) : undefined
    if (rule) return rule
  }
  return { factor: 1000, offset: 0 }
}
