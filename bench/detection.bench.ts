/** Quality and cost of detection: the public benchmark, signals of many shapes, a simulated plant with labelled faults, and CPU and memory a reading. */
import { asDeployed } from './as-deployed.ts'
import { measureChanges } from './detection/changes.ts'
import type * as Cost from './detection/cost.ts'
import { measureNab } from './detection/nab.ts'
import { measureCreep, measureRecurrence, measureYoung } from './detection/other-faults.ts'
import { measureOtherSignals } from './detection/other-signals.ts'
import { measurePauses } from './detection/pauses.ts'
import { measurePlant } from './detection/plant.ts'
import { measureWear } from './detection/wear.ts'
import { printHeader } from './measure.ts'

const parts = (process.env.PARTS ?? 'cost,nab,other,plant,wear').split(',')

printHeader('Detection')
if (parts.includes('cost')) (await asDeployed<typeof Cost>('./detection/cost.ts')).measureCost()
if (parts.includes('nab')) await measureNab()
if (parts.includes('other')) {
  measureOtherSignals()
  measureRecurrence()
  measureCreep()
  measureYoung()
  measureChanges()
  measurePauses()
}
if (parts.includes('plant')) measurePlant()
if (parts.includes('wear')) measureWear()
