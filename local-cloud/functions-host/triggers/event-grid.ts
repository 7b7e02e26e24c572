/**
 * The Event Grid trigger: events come by webhook to `/runtime/webhooks/eventgrid?functionName=…`, in the Event Grid or the
 * CloudEvents schema; the handshakes of both are answered (webhook-event-delivery.md).
 */
import { z } from 'zod'
import type { InvocationRequest } from '../core-api.ts'

export const eventGridPath = '/runtime/webhooks/eventgrid'

export type EventGridFunction = {
  readonly bindingName: string
  readonly isMany: boolean
  readonly invoke: (request: InvocationRequest) => Promise<void>
}
export type WebhookRequest = {
  readonly method: string
  readonly query: URLSearchParams
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}
export type WebhookAnswer = { readonly status: number; readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> }

const GridEvent = z.looseObject({ eventType: z.string().optional(), type: z.string().optional(), data: z.unknown().optional() })
const Validation = z.looseObject({ validationCode: z.string() })

export class EventGridWebhook {
  readonly #functions: ReadonlyMap<string, EventGridFunction>

  /** @param functions by name in lower case */
  constructor(functions: ReadonlyMap<string, EventGridFunction>) {
    this.#functions = functions
  }

  async handle({ method, query, headers, body }: WebhookRequest): Promise<WebhookAnswer> {
    const found = this.#functions.get((query.get('functionName') ?? '').toLowerCase())
    if (!found) return { status: 404, body: { message: `no Event Grid function '${query.get('functionName') ?? ''}'` } }
    // CloudEvents asks first whether it may send.
    if (method === 'OPTIONS')
      return {
        status: 200,
        headers: { 'webhook-allowed-origin': String(headers['webhook-request-origin'] ?? '*'), 'webhook-allowed-rate': '*' },
      }
    if (method !== 'POST') return { status: 405 }
    let events: z.infer<typeof GridEvent>[]
    try {
      const value: unknown = JSON.parse(body.toString())
      events = z.array(GridEvent).parse(Array.isArray(value) ? value : [value])
    } catch {
      return { status: 400, body: { message: 'the body is no event, nor a list of events' } }
    }
    const [first] = events
    if (first?.eventType === 'Microsoft.EventGrid.SubscriptionValidationEvent') {
      const validation = Validation.safeParse(first.data)
      return validation.success ? { status: 200, body: { validationResponse: validation.data.validationCode } } : { status: 400 }
    }
    const inputs = found.isMany ? [events] : events
    try {
      await Promise.all(
        inputs.map((input) =>
          found.invoke({ inputData: [{ name: found.bindingName, data: { json: JSON.stringify(input) } }], triggerMetadata: {} }),
        ),
      )
      return { status: 202 }
    } catch (error) {
      // Event Grid tries again what was not answered by a 2xx.
      return { status: 500, body: { message: error instanceof Error ? error.message.split('\n')[0] : String(error) } }
    }
  }
}
