/** Calls under way from the cloud to devices: one request, one response, or none in time. */
import { randomUUID } from 'node:crypto'
import type { DeviceLink } from '../device-backend.ts'

export type MethodCall = {
  readonly methodName: string
  /** JSON text, empty without a payload. */
  readonly payload: string
  readonly responseTimeoutMs: number
}
export type MethodResult = { readonly status: number; readonly payload: unknown }

/** The device did not answer in time (504101), or went away (404104). */
export class MethodFailedError extends Error {
  override readonly name = 'MethodFailedError'
  readonly kind: 'timeout' | 'disconnected' | 'bad-response'
  constructor(kind: MethodFailedError['kind'], message: string) {
    super(message)
    this.kind = kind
  }
}

type Pending = { readonly link: DeviceLink; readonly resolve: (result: MethodResult) => void; readonly reject: (error: Error) => void }

const responseBytesMax = 128 * 1024

export class DirectMethods {
  readonly #pending = new Map<string, Pending>()

  /** @throws MethodFailedError */
  call(link: DeviceLink, { methodName, payload, responseTimeoutMs }: MethodCall): Promise<MethodResult> {
    const requestId = randomUUID()
    return new Promise<MethodResult>((resolve, reject) => {
      const timer = setTimeout(
        () =>
          reject(
            new MethodFailedError('timeout', `'${link.identity.deviceId}' did not answer '${methodName}' within ${responseTimeoutMs} ms`),
          ),
        responseTimeoutMs,
      )
      const ended = (end: () => void) => {
        clearTimeout(timer)
        end()
      }
      this.#pending.set(requestId, {
        link,
        resolve: (result) => ended(() => resolve(result)),
        reject: (error) => ended(() => reject(error)),
      })
      link.call(methodName, requestId, Buffer.from(payload))
    }).finally(() => this.#pending.delete(requestId))
  }

  /** Whether an answer under this id is waited for here. */
  isPending(requestId: string): boolean {
    return this.#pending.has(requestId)
  }

  /** An answer to nothing is ignored, as the service does; so is one from somebody else. */
  answer(link: DeviceLink, requestId: string, status: number, body: Buffer): void {
    const pending = this.#pending.get(requestId)
    if (pending?.link !== link) return
    if (body.length > responseBytesMax)
      return pending.reject(new MethodFailedError('bad-response', `the answer has more than ${responseBytesMax} bytes`))
    try {
      const text = body.toString().trim()
      pending.resolve({ status, payload: text === '' ? null : (JSON.parse(text) as unknown) })
    } catch {
      pending.reject(new MethodFailedError('bad-response', 'the answer is not JSON'))
    }
  }

  /** Ends the calls of a connection that is gone. */
  disconnected(link: DeviceLink): void {
    for (const { link: called, reject } of this.#pending.values())
      if (called === link) reject(new MethodFailedError('disconnected', `'${link.identity.deviceId}' went away`))
  }
}
