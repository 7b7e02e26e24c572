/**
 * A centrifugal pump on a throttled line, 15 kW, 4 poles, 60 m³/h at 4.2 bar.
 *
 *     head p = p0 − (p0 − pn)·(Q/Qn)²         bar; p0 = 5.4 shut off, pn = 4.2 nominal (affinity laws around the best point)
 *     hydraulic power P = Q·p / 36             kW, Q in m³/h
 *     current I = 9 + 1.75·P                   A, a 15 kW motor at 400 V
 *     bearing: τ·dT/dt = T∞ − T, τ = 600 s, T∞ = hall + 22 + 1.3·P
 *
 * Vibration levels by ISO 10816-3, group 2: 2.3 mm/s good, 7.1 mm/s unacceptable. Leak: water leaves before the flow meter
 * (−25 % flow, −0.5 bar); imbalance: once-per-turn force, vibration and bearing load.
 */
import { lag, severityOf, slowDemand } from './machine.ts'
import type { MachineFactory } from './machine.ts'

const nominalFlow = 60
const shutOffPressure = 5.4
const nominalPressure = 4.2
const bearingTauS = 600

export const centrifugalPump: MachineFactory = (random) => {
  const demand = slowDemand(random, 0.95 + 0.05 * random.next())
  const baseVibration = 1.5 + 0.6 * random.next()
  const state = { ...demand.state, bearingC: undefined as number | undefined }
  return {
    modelId: 'dtmi:millwright:CentrifugalPump;1',
    faultKinds: ['bearing-wear', 'cavitation', 'clogging', 'leak', 'imbalance'],
    state,
    step(stepS, conditions) {
      const { hallC, shift } = conditions
      const wear = severityOf(conditions, 'bearing-wear')
      const cavitation = severityOf(conditions, 'cavitation')
      const clogging = severityOf(conditions, 'clogging')
      const leak = severityOf(conditions, 'leak')
      const imbalance = severityOf(conditions, 'imbalance')
      const opening = demand.after(state, stepS) * shift * (1 - 0.35 * clogging)
      const delivered = nominalFlow * opening * (1 - 0.12 * cavitation)
      const head = shutOffPressure - (shutOffPressure - nominalPressure) * (delivered / nominalFlow) ** 2
      const pressure = head * (1 - 0.1 * cavitation) - 0.5 * leak
      const hydraulicKw = (delivered * head) / 36
      const bearingTarget = hallC + 22 + 1.3 * hydraulicKw + 45 * wear + 6 * imbalance
      state.bearingC = lag(state.bearingC ?? bearingTarget, bearingTarget, stepS, bearingTauS)
      const vibration = baseVibration + 0.4 * opening + 6.5 * wear + 2.4 * cavitation + 0.4 * clogging + 3.2 * imbalance
      return {
        flowM3PerH: delivered * (1 - 0.25 * leak) + (0.1 + 0.8 * cavitation) * random.normal(),
        dischargePressureBar: pressure + (0.008 + 0.06 * cavitation) * random.normal(),
        motorCurrentA: 9 + 1.75 * hydraulicKw + 2.2 * wear + 0.05 * random.normal(),
        bearingTemperatureC: state.bearingC + 0.06 * random.normal(),
        vibrationMmPerS: Math.max(0, vibration + (0.03 + 0.25 * cavitation + 0.2 * wear) * random.normal()),
      }
    },
  }
}
