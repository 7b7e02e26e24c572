/**
 * A two-stage reciprocating air compressor with speed control, 8 bar gauge, 30 kW.
 *
 *     stage ratio r = √(p + 1), discharge T = T1·r^((n−1)/n), n = 1.3 (polytropic, intercooled), plus friction 28 K·speed
 *     receiver: τ = 90 s to the set pressure; discharge: τ = 120 s; oil pressure 2.2 + 0.5·speed bar (gear pump)
 *     current I = 18 + 30·speed A
 *
 * A leaking valve recompresses hot gas: hotter, faster, less pressure. Overheating: the intercooler's water is lost.
 */
import { lag, severityOf, slowDemand } from './machine.ts'
import type { MachineFactory } from './machine.ts'

const dischargeTauS = 120

export const reciprocatingCompressor: MachineFactory = (random) => {
  const demand = slowDemand(random, 0.8 + 0.1 * random.next())
  const baseVibration = 3 + 0.8 * random.next()
  const state = { ...demand.state, dischargeC: undefined as number | undefined, receiverBar: 8 }
  return {
    modelId: 'dtmi:millwright:ReciprocatingCompressor;1',
    faultKinds: ['valve-leak', 'oil-loss', 'loose-mounting', 'overheating'],
    state,
    step(stepS, conditions) {
      const { hallC, shift } = conditions
      const leak = severityOf(conditions, 'valve-leak')
      const oilLoss = severityOf(conditions, 'oil-loss')
      const loose = severityOf(conditions, 'loose-mounting')
      const overheating = severityOf(conditions, 'overheating')
      const speed = demand.after(state, stepS) * shift * (1 + 0.15 * leak)
      state.receiverBar = lag(state.receiverBar, 8 - 0.35 * leak, stepS, 90)
      const stageRatio = Math.sqrt(state.receiverBar + 1)
      const idealC = (hallC + 8 + 273) * stageRatio ** (0.3 / 1.3) - 273
      const target = idealC + 28 * speed + 14 + 55 * leak + 48 * overheating
      state.dischargeC = lag(state.dischargeC ?? target, target, stepS, dischargeTauS * (1 - 0.7 * leak))
      return {
        receiverPressureBar: state.receiverBar + 0.01 * random.normal(),
        dischargeTemperatureC: state.dischargeC + 0.15 * random.normal(),
        motorCurrentA: 18 + 30 * speed + 0.08 * random.normal(),
        oilPressureBar: 2.2 + 0.5 * speed - 2.1 * oilLoss + 0.008 * random.normal(),
        vibrationMmPerS: Math.max(0, baseVibration + 0.8 * speed + 5 * loose + 0.6 * leak + (0.04 + 0.3 * loose) * random.normal()),
      }
    },
  }
}
