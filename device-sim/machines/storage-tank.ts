/**
 * A vertical tank for solvent, 6 m high, 3 m wide, filled by batches and drawn from all day, with a gas sensor in its bund.
 *
 *     A·dh/dt = Qin − Qout − Qleak             A = 7.07 m²; Qout = 3 m³/h·shift, Qin = 6 m³/h between 2.5 and 4.5 m
 *     liquid: τ = 8 h towards outdoors; head pressure = ρ·g·h, ρ = 790 kg/m³ (0.0775 bar/m)
 *     gas in the bund: 12 ppm background; a leaking flange adds up to 900 ppm with τ = 40 s (diffusion, light wind)
 *
 * Limits: 300 ppm is a tenth of the lower explosive limit in the units of a catalytic sensor: people leave, the valve shuts.
 */
import { lag, severityOf } from './machine.ts'
import type { MachineFactory } from './machine.ts'

const areaM2 = 7.07
const [levelMinM, levelMaxM] = [2.5, 4.5]

export const storageTank: MachineFactory = (random) => {
  const state = {
    levelM: levelMinM + (levelMaxM - levelMinM) * random.next(),
    isFilling: random.next() < 0.5,
    liquidC: undefined as number | undefined,
    gasPpm: 12,
  }
  return {
    modelId: 'dtmi:millwright:StorageTank;1',
    faultKinds: ['gas-leak', 'tank-leak', 'overfill'],
    state,
    step(stepS, conditions) {
      const { outdoorC, shift } = conditions
      const gasLeak = severityOf(conditions, 'gas-leak')
      const tankLeak = severityOf(conditions, 'tank-leak')
      const overfill = severityOf(conditions, 'overfill')
      if (state.levelM < levelMinM) state.isFilling = true
      if (state.levelM > levelMaxM) state.isFilling = false
      // A fill valve that does not close, and a pump that pushes on.
      const inM3PerH = state.isFilling ? 6 : 0
      const flowM3PerH = inM3PerH + 60 * overfill
      state.levelM = Math.max(0, Math.min(6, state.levelM + ((flowM3PerH - 3 * shift - 45 * tankLeak) * stepS) / 3_600 / areaM2))
      state.liquidC = lag(state.liquidC ?? outdoorC, outdoorC, stepS, 28_800)
      state.gasPpm = lag(state.gasPpm, 12 + 900 * gasLeak + 25 * tankLeak, stepS, 40)
      return {
        levelM: state.levelM + 0.002 * random.normal(),
        headPressureBar: 0.0775 * state.levelM + 0.0003 * random.normal(),
        inflowM3PerH: Math.max(0, flowM3PerH + (flowM3PerH > 0 ? 0.03 * random.normal() : 0)),
        liquidTemperatureC: state.liquidC + 0.05 * random.normal(),
        gasPpm: Math.max(0, state.gasPpm + 0.4 * random.normal()),
      }
    },
  }
}
