/** Carries a command out: decided on what is true, written only if nobody else has acted meanwhile, else decided again. */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Alert } from '../../contract/alert.ts'
import { appendAction, readEvents, readHead } from '../store/alert-store.ts'
import { decide } from './alert-commands.ts'
import type { Command, Refusal } from './alert-commands.ts'
import type { AlertDesk } from './alert-desk.ts'
import { foldAlert } from './alert-life.ts'
import { settleAlert } from './settle-alert.ts'

const attemptsMax = 50

export type CommandOptions = {
  readonly by: string
  readonly nowMs: number
  /** The version the person saw: a later one is refused. */
  readonly ifVersion?: number | undefined
}

export type Outcome = { readonly alert: Alert } | Refusal | 'unknown' | 'changed'

export async function commandAlert(desk: AlertDesk, alertId: string, command: Command, options: CommandOptions): Promise<Outcome> {
  const { by, nowMs, ifVersion } = options
  // Stands in the row's key: the same request is written once.
  const requestId = randomUUID()
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const head = await readHead(desk.tables, alertId)
    const history = await readEvents(desk.tables, alertId)
    const joined = history.find((event) => event.kind === 'joined')
    if (joined) return commandAlert(desk, joined.into, command, options)
    const alert = foldAlert(history)
    if (!alert) return 'unknown'
    if (ifVersion !== undefined && ifVersion !== history.length) return 'changed'
    if (command.name === 'acknowledge' && command.body.linkId !== undefined && isUsed(history, command.body.linkId))
      return { title: 'Used already', refused: 'the link was used before: it is good once' }
    const decided = decide(alert, command, by, nowMs)
    if ('refused' in decided) return decided
    if (await appendAction(desk.tables, decided, requestId, head)) {
      const settled = await settleAlert(desk, alertId, nowMs)
      return settled ? { alert: settled } : 'unknown'
    }
    await delay(attempt * 5 * desk.random())
  }
  throw new Error(`alert '${alertId}' was acted on by others ${attemptsMax} times in a row; trying again helps`)
}

function isUsed(history: readonly { readonly kind: string; readonly linkId?: string | undefined }[], linkId: string): boolean {
  return history.some((event) => event.kind === 'acknowledged' && event.linkId === linkId)
}
