/**
 * A cold store at −20 °C: goods, air, and a compressor with hysteresis (on at −19.6 °C, off at −20.4 °C).
 *
 *     goods: τ = 6 h towards the air; air: C·dT/dt = k·(hall − T) + d·(hall − T) − cooling, C = 600 kJ/K,
 *     k = 0.035 kW/K through the walls, d = 0.16 kW/K through an open door, cooling 6.2 kW (R290, COP 1.9)
 *     evaporator 8 K below the air while the compressor runs, with τ = 60 s
 *
 * Faults: door left open; refrigerant lost (cooling −92 %, evaporator colder); evaporator iced (cooling −90 %).
 */
import { lag, severityOf } from './machine.ts'
import type { MachineFactory } from './machine.ts'

const setPointC = -20
const hysteresisK = 0.4
const coolingKw = 6.2
const capacityKjPerK = 600

export const coldStore: MachineFactory = (random) => {
  const airC = setPointC + 0.4 * random.next()
  const state = { airC, goodsC: setPointC, evaporatorC: airC - 6, isCooling: random.next() < 0.5 }
  return {
    modelId: 'dtmi:millwright:ColdStore;1',
    faultKinds: ['door-open', 'refrigerant-leak', 'evaporator-icing'],
    state,
    step(stepS, conditions) {
      const { hallC } = conditions
      const door = severityOf(conditions, 'door-open')
      const leak = severityOf(conditions, 'refrigerant-leak')
      const icing = severityOf(conditions, 'evaporator-icing')
      const parts = Math.max(1, Math.ceil(stepS / 20))
      for (let part = 0; part < parts; part++) {
        const partS = stepS / parts
        if (state.airC > setPointC + hysteresisK) state.isCooling = true
        if (state.airC < setPointC - hysteresisK) state.isCooling = false
        const inKw = (0.035 + 0.16 * door) * (hallC - state.airC)
        const outKw = state.isCooling ? coolingKw * (1 - 0.92 * leak) * (1 - 0.9 * icing) : 0
        state.airC += ((inKw - outKw + 0.05 * (state.goodsC - state.airC)) * partS) / capacityKjPerK
        state.goodsC = lag(state.goodsC, state.airC, partS, 21_600)
        state.evaporatorC = lag(state.evaporatorC, state.isCooling ? state.airC - 8 - 9 * leak - 5 * icing : state.airC - 1, partS, 60)
      }
      return {
        airTemperatureC: state.airC + 0.04 * random.normal(),
        goodsTemperatureC: state.goodsC + 0.03 * random.normal(),
        evaporatorTemperatureC: state.evaporatorC + 0.1 * random.normal(),
        compressorPowerKw: (state.isCooling ? (coolingKw / 1.9) * (1 - 0.45 * leak) : 0.05) + 0.01 * random.normal(),
        relativeHumidityPct: Math.min(100, 68 + 14 * door + 0.3 * random.normal()),
      }
    },
  }
}
