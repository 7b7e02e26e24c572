/**
 * A CNC milling spindle, 18 kW, in cycles of 90 s: 60 s of cutting at 8000 rpm, 30 s of tool and part change.
 *
 *     cutting load L = 0.6 (1 + small waves), spindle current I = 6 + 24·L A, worn tools cut with up to 60 % more force
 *     front bearing: τ = 1200 s, T∞ = hall + 9 + 26·(mean load); coolant flow 22 l/min while cutting
 *
 * Vibration while cutting by ISO 10816-3; imbalance (a chip in the taper) adds 3 mm/s at speed.
 */
import { cycleOf, lag, severityOf, slowDemand } from './machine.ts'
import type { MachineFactory } from './machine.ts'

const cycleS = 90
const cuttingS = 60

export const machiningSpindle: MachineFactory = (random) => {
  const demand = slowDemand(random, 0.6)
  const baseVibration = 0.9 + 0.3 * random.next()
  const state = { ...demand.state, elapsedS: random.next() * cycleS, bearingC: undefined as number | undefined }
  return {
    modelId: 'dtmi:millwright:MachiningSpindle;1',
    faultKinds: ['tool-wear', 'imbalance', 'coolant-loss', 'overheating'],
    state,
    step(stepS, conditions) {
      const { hallC } = conditions
      state.elapsedS += stepS
      const toolWear = severityOf(conditions, 'tool-wear')
      const imbalance = severityOf(conditions, 'imbalance')
      const coolantLoss = severityOf(conditions, 'coolant-loss')
      const overheating = severityOf(conditions, 'overheating')
      const isCutting = cycleOf(state.elapsedS, cycleS).phaseS < cuttingS
      const load = demand.after(state, stepS) * (1 + 0.6 * toolWear)
      const target = hallC + 9 + 26 * load * (cuttingS / cycleS) + 45 * coolantLoss + 40 * overheating
      state.bearingC = lag(state.bearingC ?? target, target, stepS, 1_200)
      const turning = isCutting ? 1 : 0
      return {
        spindleSpeedRpm: turning * 8_000 + (isCutting ? 3 * random.normal() : 0),
        spindleCurrentA: 6 + 24 * load * turning + 0.1 * random.normal(),
        bearingTemperatureC: state.bearingC + 0.06 * random.normal(),
        coolantFlowLPerMin: Math.max(0, 22 * turning * (1 - 0.9 * coolantLoss) + 0.08 * turning * random.normal()),
        vibrationMmPerS: Math.max(0, 0.3 + turning * (baseVibration + 1.4 * toolWear + 3 * imbalance) + 0.03 * random.normal()),
      }
    },
  }
}
