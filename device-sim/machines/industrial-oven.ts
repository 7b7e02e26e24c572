/**
 * An electric oven at 200 °C under proportional-integral control: heat capacity 180 kJ/K, loss 0.075 kW/K to the hall,
 * more with the door open; the fan mixes the air, and its belt can tear.
 */
import { lag, slowDemand } from './machine.ts'
import type { MachineFactory } from './machine.ts'

const hallC = 24
const setPointC = 200
const capacityKjPerK = 180
const lossKwPerK = 0.075
const heaterKwMax = 40

export const industrialOven: MachineFactory = (random) => {
  const throughput = slowDemand(random, 0.7 + 0.15 * random.next())
  let chamberC = setPointC
  let integralKw = lossKwPerK * (setPointC - hallC) + 4
  let exhaustC = 118
  return {
    modelId: 'dtmi:millwright:IndustrialOven;1',
    faultKinds: ['door-open', 'element-failure', 'fan-belt'],
    step(stepS, fault) {
      const severity = (kind: string) => (fault?.kind === kind ? fault.severity : 0)
      const [door, element, belt] = [severity('door-open'), severity('element-failure'), severity('fan-belt')]
      const load = throughput(stepS)
      const error = setPointC - chamberC
      const wanted = integralKw + 1.2 * error
      const available = heaterKwMax * (1 - 0.62 * element)
      const powerKw = Math.max(0, Math.min(available, wanted))
      // Anti-windup: a heater at its limit must not charge the integral.
      if (powerKw === wanted) integralKw += 0.01 * error * stepS
      const lossKw = lossKwPerK * (1 + 1.6 * door) * (chamberC - hallC) + 5.5 * load
      chamberC += ((powerKw - lossKw) * stepS) / capacityKjPerK
      exhaustC = lag(exhaustC, hallC + 0.5 * (chamberC - hallC) * (1 - 0.4 * belt) + 6 * load, stepS, 45)
      return {
        chamberTemperatureC: chamberC + (0.1 + 0.8 * belt) * random.normal(),
        heaterPowerKw: powerKw + 0.06 * random.normal(),
        fanCurrentA: 2.4 * (1 - 0.75 * belt) + 0.01 * random.normal(),
        exhaustTemperatureC: exhaustC + 0.12 * random.normal(),
      }
    },
  }
}
