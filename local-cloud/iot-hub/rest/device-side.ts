/** What devices do over HTTPS: send, receive and settle messages, upload files; and what edge modules call. */
import { z } from 'zod'
import { RefusedMessageError } from '../../device-backend.ts'
import type { PropertyBag } from '../../device-backend.ts'
import type { CloudToDevice } from '../cloud-to-device.ts'
import { FileUploadDone, FileUploadRequest } from '../file-uploads.ts'
import type { FileUploads } from '../file-uploads.ts'
import { HubError } from '../hub-errors.ts'
import type { IotHub } from '../iot-hub.ts'
import type { Authorisation } from './authorisation.ts'
import { headerOf, jsonBody } from './request.ts'
import type { RestRequest, RestResponse } from './request.ts'

const messageBytesMax = 256 * 1024

/** System properties by their header (iot-hub REST API, Send Device Event). */
const systemHeaders: Readonly<Record<string, string>> = {
  'iothub-messageid': 'mid',
  'iothub-correlationid': 'cid',
  'iothub-userid': 'uid',
  'iothub-contenttype': 'ct',
  'iothub-contentencoding': 'ce',
  'iothub-interface-id': 'ifid',
}

export class DeviceSide {
  readonly #hub: IotHub
  readonly #authorisation: Authorisation
  readonly #cloudToDevice: CloudToDevice
  readonly #uploads: FileUploads

  constructor(options: { hub: IotHub; authorisation: Authorisation; cloudToDevice: CloudToDevice; uploads: FileUploads }) {
    this.#hub = options.hub
    this.#authorisation = options.authorisation
    this.#cloudToDevice = options.cloudToDevice
    this.#uploads = options.uploads
  }

  /** `/devices/{id}/messages/…` and `/devices/{id}/files…`; undefined when the path is none of these. */
  async handle(request: RestRequest, deviceId: string, rest: readonly string[]): Promise<RestResponse | undefined> {
    const [area = '', part, token, action] = rest.map((name, index) => (index === 2 ? name : name.toLowerCase()))
    if (area === 'messages' && part === 'events' && request.method === 'POST') return this.#send(request, deviceId)
    if (area === 'messages' && part === 'devicebound') return this.#receive(request, deviceId, token, action)
    if (area === 'files' && request.method === 'POST') {
      this.#authorisation.requireDevice(request, deviceId)
      if (part === undefined) return { status: 200, body: await this.#uploads.begin(deviceId, jsonBody(request, FileUploadRequest)) }
      if (part === 'notifications') {
        const correlationId = rest[2] === undefined ? {} : { correlationId: rest[2] }
        await this.#uploads.end(deviceId, FileUploadDone.parse({ ...jsonBody(request, z.looseObject({})), ...correlationId }))
        return { status: 204 }
      }
    }
    return undefined
  }

  async #send(request: RestRequest, deviceId: string): Promise<RestResponse> {
    const { identity, authMethod } = this.#authorisation.requireDevice(request, deviceId)
    if (request.body.length > messageBytesMax) throw new HubError('MessageTooLarge', `a message is limited to ${messageBytesMax} bytes`)
    const messages = headerOf(request, 'content-type')?.startsWith('application/vnd.microsoft.iothub.json')
      ? batchOf(request)
      : [messageOf(request)]
    try {
      await Promise.all(messages.map(({ bag, body }) => this.#hub.telemetryOf(identity, authMethod, bag, body)))
    } catch (error) {
      if (!(error instanceof RefusedMessageError)) throw error
      this.#hub.refused(error.reason, deviceId)
      throw new HubError(error.reason === 'quota-exceeded' ? 'IotHubQuotaExceeded' : 'ThrottlingException', error.message)
    }
    return { status: 204 }
  }

  async #receive(request: RestRequest, deviceId: string, token: string | undefined, action: string | undefined): Promise<RestResponse> {
    this.#authorisation.requireDevice(request, deviceId)
    if (token === undefined) {
      const taken = this.#cloudToDevice.take(deviceId)
      if (!taken) return { status: 204 }
      const { message } = taken
      const headers: Record<string, string> = {
        etag: `"${taken.token}"`,
        'iothub-deliverycount': String(message.deliveryCount),
        'iothub-enqueuedtime': new Date(message.enqueuedMs).toISOString(),
        'iothub-expiry': new Date(message.expiresMs).toISOString(),
        'iothub-ack': message.ack,
      }
      const named = new Map(Object.entries(systemHeaders).map(([header, name]) => [name, header]))
      for (const [name, value] of message.system) {
        const header = named.get(name) ?? (name === 'to' ? 'iothub-to' : undefined)
        if (header !== undefined) headers[header] = value
      }
      for (const [name, value] of message.application) if (name !== 'iothub-ack') headers[`iothub-app-${name}`] = encodeURI(value)
      return { status: 200, body: Buffer.from(message.body, 'base64'), headers }
    }
    const lock = token.replaceAll('"', '')
    const outcome =
      request.method === 'DELETE'
        ? request.url.searchParams.has('reject')
          ? 'reject'
          : 'complete'
        : action === 'abandon'
          ? 'abandon'
          : undefined
    if (!outcome) throw new HubError('ResourceNotFound', request.url.pathname)
    if (!(await this.#cloudToDevice.settle(deviceId, lock, outcome)))
      throw new HubError('DeviceMessageLockLost', 'the lock is not held (any more)')
    return { status: 204 }
  }
}

function messageOf(request: RestRequest): { bag: PropertyBag; body: Buffer } {
  const system = new Map<string, string>()
  const application: [string, string][] = []
  for (const [name, value] of Object.entries(request.headers)) {
    const text = Array.isArray(value) ? value.join(', ') : (value ?? '')
    const short = systemHeaders[name]
    if (short) system.set(short, text)
    else if (name.startsWith('iothub-app-')) application.push([name.slice('iothub-app-'.length), text])
  }
  return { bag: { system, application }, body: request.body }
}

const Batch = z
  .array(
    z.looseObject({ body: z.string(), base64Encoded: z.boolean().default(true), properties: z.record(z.string(), z.string()).optional() }),
  )
  .max(500)

function batchOf(request: RestRequest): { bag: PropertyBag; body: Buffer }[] {
  return jsonBody(request, Batch).map(({ body, base64Encoded, properties = {} }) => {
    const system = new Map<string, string>()
    const application: [string, string][] = []
    for (const [name, value] of Object.entries(properties)) {
      const short = systemHeaders[name.toLowerCase()]
      if (short) system.set(short, value)
      else application.push([name.replace(/^iothub-app-/i, ''), value])
    }
    return { bag: { system, application }, body: Buffer.from(body, base64Encoded ? 'base64' : 'utf8') }
  })
}
