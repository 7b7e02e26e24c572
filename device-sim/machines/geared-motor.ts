/**
 * An asynchronous motor with a gearbox, 22 kW, 4 poles, driving a conveyor.
 *
 *     slip s = 0.02·load, speed = 1500·(1 − s) rpm; current I = 14 + 26·load A (IEC 60034 class IE3 values)
 *     winding: τ = 900 s, T∞ = hall + 62 K·load^1.6 (copper loss), a blocked fan makes it 2.7 times that
 *     gear oil: τ = 1800 s, T∞ = hall + 34 K·load
 *
 * Vibration by ISO 10816-3; worn teeth add wide noise, imbalance a steady level. A lost phase: current × 1.7 on the others,
 * more slip, heat.
 */
import { lag, severityOf, slowDemand } from './machine.ts'
import type { MachineFactory } from './machine.ts'

export const gearedMotor: MachineFactory = (random) => {
  const demand = slowDemand(random, 0.75 + 0.1 * random.next())
  const baseVibration = 1.2 + 0.5 * random.next()
  const state = { ...demand.state, windingC: undefined as number | undefined, oilC: undefined as number | undefined }
  return {
    modelId: 'dtmi:millwright:GearedMotor;1',
    faultKinds: ['imbalance', 'gear-wear', 'overheating', 'phase-loss'],
    state,
    step(stepS, conditions) {
      const { hallC, shift } = conditions
      const imbalance = severityOf(conditions, 'imbalance')
      const wear = severityOf(conditions, 'gear-wear')
      const blockedFan = severityOf(conditions, 'overheating')
      const phaseLoss = severityOf(conditions, 'phase-loss')
      const load = demand.after(state, stepS) * shift
      const windingTarget = hallC + 62 * load ** 1.6 * (1 + 1.7 * blockedFan + 0.9 * phaseLoss)
      const oilTarget = hallC + 34 * load * (1 + 0.5 * wear)
      state.windingC = lag(state.windingC ?? windingTarget, windingTarget, stepS, 900 * (1 - 0.5 * phaseLoss))
      state.oilC = lag(state.oilC ?? oilTarget, oilTarget, stepS, 1_800)
      return {
        speedRpm: 1_500 * (1 - 0.02 * load * (1 + 2 * phaseLoss)) + 0.4 * random.normal(),
        motorCurrentA: (14 + 26 * load) * (1 + 0.7 * phaseLoss) + 0.06 * random.normal(),
        windingTemperatureC: state.windingC + 0.1 * random.normal(),
        gearOilTemperatureC: state.oilC + 0.08 * random.normal(),
        vibrationMmPerS: Math.max(0, baseVibration + 0.3 * load + 3.4 * imbalance + 2.2 * wear + (0.025 + 0.4 * wear) * random.normal()),
      }
    },
  }
}
