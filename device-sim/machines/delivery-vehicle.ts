/**
 * An electric delivery van on a round: 8 minutes of driving in town, 4 of standing, 60 kWh, 2.8 t.
 *
 *     power P = m·a·v + 0.5·ρ·cw·A·v³ + m·g·cr·v   cw·A = 1.6 m², cr = 0.011; at 38 km/h about 9 kW with losses
 *     battery: energy/60 kWh; cells: τ = 1500 s, T∞ = outdoor + 0.9 K·kW; below 12 % it stands and charges, 50 kW to 96 %
 *     tyre: p ∝ absolute temperature, 3.4 bar at 20 °C
 *
 * The position is a round of 3 km around the depot. Faults: slow puncture, failing cell cooling, dragging brake.
 */
import { cycleOf, lag, severityOf, slowDemand } from './machine.ts'
import type { MachineFactory } from './machine.ts'

const [driveS, cycleS] = [480, 720]
const batteryKwh = 60
const chargerKw = 50
const [depotLatitude, depotLongitude] = [53.55, 9.99]

export const deliveryVehicle: MachineFactory = (random) => {
  const pace = slowDemand(random, 1)
  const state = {
    ...pace.state,
    elapsedS: random.next() * cycleS,
    chargePct: 70 + 25 * random.next(),
    isCharging: false,
    travelledKm: 3 * random.next(),
    cellC: undefined as number | undefined,
    hubC: undefined as number | undefined,
  }
  return {
    modelId: 'dtmi:millwright:DeliveryVehicle;1',
    faultKinds: ['tyre-leak', 'cooling-failure', 'dragging-brake'],
    state,
    step(stepS, conditions) {
      const { outdoorC } = conditions
      // The driver arrives before plugging in.
      if (state.chargePct < 12 && cycleOf(state.elapsedS, cycleS).phaseS >= driveS) state.isCharging = true
      if (state.chargePct > 96) state.isCharging = false
      if (!state.isCharging) state.elapsedS += stepS
      const puncture = severityOf(conditions, 'tyre-leak')
      const cooling = severityOf(conditions, 'cooling-failure')
      const brake = severityOf(conditions, 'dragging-brake')
      const { phaseS } = cycleOf(state.elapsedS, cycleS)
      const isDriving = phaseS < driveS && !state.isCharging
      // Traffic: three stops and starts in a leg.
      const speedKmPerH = isDriving
        ? Math.max(0, 38 * pace.after(state, stepS) * Math.abs(Math.sin((3 * Math.PI * phaseS) / driveS)) ** 0.5)
        : 0
      const powerKw = isDriving ? 2.2 + 0.18 * speedKmPerH * (1 + 0.5 * brake) : state.isCharging ? -chargerKw : 0.4
      state.chargePct -= ((powerKw * stepS) / 3_600 / batteryKwh) * 100
      state.travelledKm += (speedKmPerH * stepS) / 3_600
      const cellTarget = outdoorC + 0.9 * 6 + 45 * cooling
      const hubTarget = outdoorC + 14 + 75 * brake
      state.cellC = lag(state.cellC ?? cellTarget, cellTarget, stepS, 1_500)
      state.hubC = lag(state.hubC ?? hubTarget, hubTarget, stepS, 300)
      const angle = (2 * Math.PI * state.travelledKm) / 3
      return {
        speedKmPerH: speedKmPerH + (isDriving ? 0.2 * random.normal() : 0),
        powerKw: powerKw + 0.05 * random.normal(),
        chargePct: state.chargePct + 0.01 * random.normal(),
        cellTemperatureC: state.cellC + 0.05 * random.normal(),
        hubTemperatureC: state.hubC + 0.15 * random.normal(),
        tyrePressureBar: (3.4 * (outdoorC + 278)) / 296 - 1.1 * puncture + 0.004 * random.normal(),
        latitude: depotLatitude + 0.0043 * Math.sin(angle),
        longitude: depotLongitude + 0.0072 * Math.cos(angle),
      }
    },
  }
}
