/**
 * What alerts stand among: where machines are, which alerts are open beside them. Read when first asked for, shared by all
 * alerts of one pass, and kept in line with what the pass does: in a storm each would otherwise read all the others.
 */
import { standingOf } from '../../contract/alert.ts'
import type { AlertFacts } from '../../contract/alert.ts'
import { listAlerts } from '../store/alert-store.ts'
import { listDevices } from '../store/latest-store.ts'
import { readTopology } from '../store/plant-store.ts'
import type { Tables } from '../store/tables.ts'
import { incidentSettings } from './incidents.ts'
import { placeFinder } from './topology.ts'
import type { WhereItStands } from './topology.ts'

type OpenAlerts = { readonly sinceMs: number; readonly byId: Map<string, AlertFacts> }

export class Surroundings {
  readonly #tables: Tables
  readonly #nowMs: number
  #placeOf: ((deviceId: string) => WhereItStands) | undefined
  #gateways: ReadonlyMap<string, string> | undefined
  #open: OpenAlerts | undefined
  #silences: Map<string, AlertFacts> | undefined

  constructor(tables: Tables, nowMs: number) {
    this.#tables = tables
    this.#nowMs = nowMs
  }

  async placeOf(): Promise<(deviceId: string) => WhereItStands> {
    return (this.#placeOf ??= placeFinder((await readTopology(this.#tables)) ?? { places: [] }))
  }

  async gatewayOf(): Promise<(deviceId: string) => string> {
    const gateways = (this.#gateways ??= new Map((await listDevices(this.#tables)).map(({ deviceId, gatewayId }) => [deviceId, gatewayId])))
    return (deviceId) => gateways.get(deviceId) ?? ''
  }

  /** The alerts that one may share an incident with: those of silence, or those open since it could have begun. */
  async near({ condition, raisedAtMs }: AlertFacts): Promise<AlertFacts[]> {
    if (condition === 'no-data') {
      this.#silences ??= byId(await listAlerts(this.#tables, { standings: ['open', 'suppressed'], condition }))
      return [...this.#silences.values()]
    }
    const sinceMs = raisedAtMs - incidentSettings.withinMs
    if (!this.#open || sinceMs < this.#open.sinceMs) {
      // What a pass looks at came lately: read once for all of it.
      const fromMs = Math.min(sinceMs, this.#nowMs - 2 * incidentSettings.withinMs)
      this.#open = { sinceMs: fromMs, byId: byId(await listAlerts(this.#tables, { standings: ['open'], sinceMs: fromMs })) }
    }
    return [...this.#open.byId.values()].filter((alert) => alert.raisedAtMs >= sinceMs)
  }

  /** What others have done since is seen by whoever asks next. */
  readAgain(): void {
    this.#open = this.#silences = undefined
  }

  /** An alert as it stands now. */
  note(alert: AlertFacts): void {
    const standing = standingOf(alert)
    put(this.#silences, alert, alert.condition === 'no-data' && (standing === 'open' || standing === 'suppressed'))
    put(this.#open?.byId, alert, standing === 'open' && alert.raisedAtMs >= (this.#open?.sinceMs ?? 0))
  }

  /** An alert whose history went to another one. */
  forget(alertId: string): void {
    this.#silences?.delete(alertId)
    this.#open?.byId.delete(alertId)
  }
}

const byId = (alerts: readonly AlertFacts[]) => new Map(alerts.map((alert) => [alert.alertId, alert]))

function put(alerts: Map<string, AlertFacts> | undefined, alert: AlertFacts, belongs: boolean): void {
  if (belongs) alerts?.set(alert.alertId, alert)
  else alerts?.delete(alert.alertId)
}
