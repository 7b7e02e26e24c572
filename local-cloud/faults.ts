/**
 * Faults on request, so that what stands before the cloud can be tried against a bad day: throttling, quotas, lost and
 * stalled connections, stolen leases, slow or failing storage. Set by REST, or by a device's own message properties.
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'

/** Faults that last; each is asked for where it would strike. */
export const lastingFaults = [
  'throttle',
  'quota',
  'offline',
  'delay',
  'drop-acknowledgement',
  'refuse-twin',
  'slow-storage',
  'failing-storage',
] as const
/** Faults that happen once, when they are set. */
export const momentaryFaults = ['kill-connection', 'stall-connection', 'expire-token', 'steal-epoch'] as const

export const FaultRequest = z
  .object({
    kind: z.enum([...lastingFaults, ...momentaryFaults]),
    /** Only this device (or device/module); for `steal-epoch` `hub/consumergroup/partition`; everything when absent. */
    target: z.string().min(1).max(300).optional(),
    /** How long it lasts. */
    durationMs: z.number().int().positive().max(86_400_000).default(60_000),
    /** How often it strikes at most. */
    count: z.number().int().positive().optional(),
    /** Of `delay`, `slow-storage` and `stall-connection`: how long each time. */
    delayMs: z.number().int().positive().max(600_000).default(1_000),
  })
  .strict()
export type FaultRequest = z.infer<typeof FaultRequest>

export type LastingFault = (typeof lastingFaults)[number]
type MomentaryFault = (typeof momentaryFaults)[number]

type ActiveFault = { readonly id: string; readonly request: FaultRequest; readonly untilMs: number; struck: number }

const activeMax = 1_000

export class Faults {
  readonly #active = new Map<string, ActiveFault>()
  readonly #nowMs: () => number
  readonly #momentary = new Map<MomentaryFault, (request: FaultRequest) => number>()

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** Who carries a momentary fault out. @param strike answers how many it hit */
  handle(kind: MomentaryFault, strike: (request: FaultRequest) => number): void {
    this.#momentary.set(kind, strike)
  }

  /** @throws RangeError when too many are set */
  set(request: FaultRequest): { id: string; struck: number } {
    const id = randomUUID()
    const strike = this.#momentary.get(request.kind as MomentaryFault)
    if (strike) return { id, struck: strike(request) }
    this.#prune()
    if (this.#active.size >= activeMax) throw new RangeError(`at most ${activeMax} faults can be set at once`)
    // A network that is gone takes the connections along.
    if (request.kind === 'offline') this.#momentary.get('kill-connection')?.(request)
    this.#active.set(id, { id, request, untilMs: this.#nowMs() + request.durationMs, struck: 0 })
    return { id, struck: 0 }
  }

  clear(id?: string): boolean {
    if (id !== undefined) return this.#active.delete(id)
    this.#active.clear()
    return true
  }

  list(): (FaultRequest & { id: string; untilMs: number; struck: number })[] {
    this.#prune()
    return [...this.#active.values()].map(({ id, request, untilMs, struck }) => ({ id, ...request, untilMs, struck }))
  }

  get areSet(): boolean {
    return this.#active.size > 0
  }

  /** The fault that strikes here and now, counted; undefined on a good day. */
  strikes(kind: LastingFault, target: string): FaultRequest | undefined {
    if (this.#active.size === 0) return undefined
    const nowMs = this.#nowMs()
    for (const fault of this.#active.values()) {
      const { request } = fault
      if (request.kind !== kind || fault.untilMs <= nowMs) continue
      if (request.target !== undefined && request.target !== target) continue
      if (request.count !== undefined && fault.struck >= request.count) continue
      fault.struck++
      return request
    }
    return undefined
  }

  #prune(): void {
    const nowMs = this.#nowMs()
    for (const { id, untilMs, request, struck } of this.#active.values())
      if (untilMs <= nowMs || (request.count !== undefined && struck >= request.count)) this.#active.delete(id)
  }
}

/** A fault that a message asks for, as the device SDKs' own tests do; undefined for an ordinary message. */
export function faultInMessage(
  properties: readonly (readonly [string, string])[],
  name: string,
): { request: FaultRequest; afterMs: number } | undefined {
  if (properties.length === 0) return undefined
  const values = new Map(properties)
  const operation = values.get('AzIoTHub_FaultOperationType')
  if (operation === undefined) return undefined
  const seconds = (property: string) => Math.min(Math.max(Number(values.get(property) ?? 0) || 0, 0), 600)
  const kind = faultOfOperation[operation] ?? (operation.startsWith('KillAmqp') ? 'kill-connection' : undefined)
  if (kind === undefined) return undefined
  const durationMs = Math.ceil(seconds('AzIoTHub_FaultOperationDurationInSecs') * 1000) || 60_000
  const request = FaultRequest.safeParse({ kind, target: name, durationMs })
  return request.success ? { request: request.data, afterMs: seconds('AzIoTHub_FaultOperationDelayInSecs') * 1000 } : undefined
}

const faultOfOperation: Readonly<Record<string, FaultRequest['kind'] | undefined>> = {
  KillTcp: 'kill-connection',
  ShutDownMqtt: 'kill-connection',
  InvokeThrottling: 'throttle',
  InvokeMaxMessageQuota: 'quota',
  InvokeAuthError: 'expire-token',
}
