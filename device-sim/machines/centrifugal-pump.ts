/**
 * A centrifugal pump on a throttled line. Head falls with the square of the flow (affinity laws around the best point),
 * shaft power follows flow times head, and the bearing warms by friction with a time constant of ten minutes.
 * Constants: a 15 kW, 4-pole pump, 60 m³/h at 4.2 bar; vibration levels by ISO 10816-3 (2.3 mm/s good, 7.1 mm/s unacceptable).
 */
import { lag, slowDemand } from './machine.ts'
import type { MachineFactory } from './machine.ts'

const nominalFlow = 60
const shutOffPressure = 5.4
const nominalPressure = 4.2
const bearingTauS = 600
const ambientC = 24

export const centrifugalPump: MachineFactory = (random) => {
  const demand = slowDemand(random, 0.95 + 0.05 * random.next())
  const baseVibration = 1.5 + 0.6 * random.next()
  let bearingC = ambientC + 31
  return {
    modelId: 'dtmi:millwright:CentrifugalPump;1',
    faultKinds: ['bearing-wear', 'cavitation', 'clogging'],
    step(stepS, fault) {
      const severity = (kind: string) => (fault?.kind === kind ? fault.severity : 0)
      const [wear, cavitation, clogging] = [severity('bearing-wear'), severity('cavitation'), severity('clogging')]
      const opening = demand(stepS) * (1 - 0.35 * clogging)
      const flow = nominalFlow * opening * (1 - 0.12 * cavitation)
      const head = shutOffPressure - (shutOffPressure - nominalPressure) * (flow / nominalFlow) ** 2
      const pressure = head * (1 - 0.1 * cavitation)
      const hydraulicKw = (flow * pressure) / 36
      const current = 9 + 1.75 * hydraulicKw + 2.2 * wear
      bearingC = lag(bearingC, ambientC + 22 + 1.3 * hydraulicKw + 45 * wear, stepS, bearingTauS)
      const vibration = baseVibration + 0.4 * opening + 6.5 * wear + 2.4 * cavitation + 0.4 * clogging
      return {
        flowM3PerH: flow + (0.1 + 0.8 * cavitation) * random.normal(),
        dischargePressureBar: pressure + (0.008 + 0.06 * cavitation) * random.normal(),
        motorCurrentA: current + 0.05 * random.normal(),
        bearingTemperatureC: bearingC + 0.06 * random.normal(),
        vibrationMmPerS: Math.max(0, vibration + (0.03 + 0.25 * cavitation + 0.2 * wear) * random.normal()),
      }
    },
  }
}
