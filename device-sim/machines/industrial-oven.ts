/**
 * An electric oven at 200 °C under proportional-integral control.
 *
 *     C·dT/dt = P − k·(T − hall) − q·load      C = 180 kJ/K, k = 0.075 kW/K (2.6 × with the door open), q = 5.5 kW of goods
 *     P = 1.2 kW/K·(200 − T) + ∫ 0.01 kW/(K·s), limited to 40 kW with anti-windup; 38 % of it when elements have failed
 *     exhaust: τ = 45 s, T∞ = hall + 0.5·(T − hall) + 6·load
 *
 * The fan mixes the air; with its belt torn the current falls to a quarter and the chamber has hot and cold places. A
 * controller that has lost its sensor overheats the chamber: the safety limit is for that.
 */
import { lag, severityOf, slowDemand } from './machine.ts'
import type { MachineFactory } from './machine.ts'

const setPointC = 200
const capacityKjPerK = 180
const lossKwPerK = 0.075
const heaterKwMax = 40

export const industrialOven: MachineFactory = (random) => {
  const throughput = slowDemand(random, 0.7 + 0.15 * random.next())
  const state = { ...throughput.state, chamberC: setPointC, integralKw: lossKwPerK * (setPointC - 24) + 4, exhaustC: 118 }
  return {
    modelId: 'dtmi:millwright:IndustrialOven;1',
    faultKinds: ['door-open', 'element-failure', 'fan-belt', 'overheating'],
    state,
    step(stepS, conditions) {
      const { hallC, shift } = conditions
      const door = severityOf(conditions, 'door-open')
      const element = severityOf(conditions, 'element-failure')
      const belt = severityOf(conditions, 'fan-belt')
      const overheating = severityOf(conditions, 'overheating')
      const load = throughput.after(state, stepS) * shift
      let powerKw = 0
      // Explicit steps must stay well below the loop's own time constant of 150 s.
      const parts = Math.max(1, Math.ceil(stepS / 10))
      for (let part = 0; part < parts; part++) {
        const partS = stepS / parts
        const error = setPointC + 60 * overheating - state.chamberC
        const wanted = state.integralKw + 1.2 * error
        powerKw = Math.max(0, Math.min(heaterKwMax * (1 - 0.62 * element), wanted))
        // Anti-windup: a heater at its limit must not charge the integral.
        if (powerKw === wanted) state.integralKw += 0.01 * error * partS
        const lossKw = lossKwPerK * (1 + 1.6 * door) * (state.chamberC - hallC) + 5.5 * load
        state.chamberC += ((powerKw - lossKw) * partS) / capacityKjPerK
      }
      state.exhaustC = lag(state.exhaustC, hallC + 0.5 * (state.chamberC - hallC) * (1 - 0.4 * belt) + 6 * load, stepS, 45)
      return {
        chamberTemperatureC: state.chamberC + (0.1 + 0.8 * belt) * random.normal(),
        heaterPowerKw: powerKw + 0.06 * random.normal(),
        fanCurrentA: 2.4 * (1 - 0.75 * belt) + 0.01 * random.normal(),
        exhaustTemperatureC: state.exhaustC + 0.12 * random.normal(),
      }
    },
  }
}
