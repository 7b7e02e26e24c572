/**
 * A two-stage reciprocating compressor with speed control, holding its receiver at 8 bar. Discharge temperature follows
 * polytropic compression (n = 1.3) of each stage with intercooling; oil pressure follows speed; thermal lag two minutes.
 */
import { lag, slowDemand } from './machine.ts'
import type { MachineFactory } from './machine.ts'

const ambientC = 24
const dischargeTauS = 120

export const reciprocatingCompressor: MachineFactory = (random) => {
  const demand = slowDemand(random, 0.8 + 0.1 * random.next())
  const baseVibration = 3 + 0.8 * random.next()
  let dischargeC = 138
  let receiverBar = 8
  return {
    modelId: 'dtmi:millwright:ReciprocatingCompressor;1',
    faultKinds: ['valve-leak', 'oil-loss', 'loose-mounting'],
    step(stepS, fault) {
      const severity = (kind: string) => (fault?.kind === kind ? fault.severity : 0)
      const [leak, oilLoss, loose] = [severity('valve-leak'), severity('oil-loss'), severity('loose-mounting')]
      const speed = demand(stepS) * (1 + 0.15 * leak)
      receiverBar = lag(receiverBar, 8 - 0.35 * leak, stepS, 90)
      // Each stage compresses by the root of the ratio; a leaking valve recompresses hot gas.
      const stageRatio = Math.sqrt(receiverBar + 1)
      const idealC = (ambientC + 8 + 273) * stageRatio ** (0.3 / 1.3) - 273
      dischargeC = lag(dischargeC, idealC + 28 * speed + 14 + 55 * leak, stepS, dischargeTauS * (1 - 0.7 * leak))
      return {
        receiverPressureBar: receiverBar + 0.01 * random.normal(),
        dischargeTemperatureC: dischargeC + 0.15 * random.normal(),
        motorCurrentA: 18 + 30 * speed + 0.08 * random.normal(),
        oilPressureBar: 2.2 + 0.5 * speed - 2.1 * oilLoss + 0.008 * random.normal(),
        vibrationMmPerS: Math.max(0, baseVibration + 0.8 * speed + 5 * loose + 0.6 * leak + (0.04 + 0.3 * loose) * random.normal()),
      }
    },
  }
}
