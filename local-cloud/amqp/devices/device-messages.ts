/** Messages of devices and modules as AMQP has them, and as the hub does: properties by their short names. */
import { randomBytes } from 'node:crypto'
import rhea from 'rhea'
import type { Message } from 'rhea'
import type { MessageToClient, PropertyBag, TwinResponse } from '../../device-backend.ts'
import { bodyOf, sameId, textOf } from '../message-values.ts'

/** Application properties that the SDKs use for what a topic says by short names. */
const systemProperties: ReadonlyMap<string, string> = new Map([
  ['iothub-outputname', 'on'],
  ['iothub-creation-time-utc', 'ctime'],
])
const inputAnnotation = 'x-opt-input-name'
const methodName = 'IoThub-methodname'
const methodStatus = 'IoThub-status'

/** What a device says beside the body. */
export function bagOf(message: Message): PropertyBag {
  const annotations: Readonly<Record<string, unknown>> = message.message_annotations ?? {}
  const expiry = message.absolute_expiry_time
  const entries: [string, string | undefined][] = [
    ['mid', textOf(message.message_id)],
    ['cid', textOf(message.correlation_id)],
    ['uid', textOf(message.user_id)],
    ['to', textOf(message.to)],
    ['ct', textOf(message.content_type)],
    ['ce', textOf(message.content_encoding)],
    ['exp', expiry === undefined ? undefined : new Date(expiry).toISOString()],
    ['ctime', message.creation_time === undefined ? undefined : new Date(message.creation_time).toISOString()],
    ['ifid', textOf(annotations['iothub-interface-id'])],
    ['sub', textOf(annotations['dt-subject'])],
  ]
  const application: [string, string][] = []
  for (const [name, value] of Object.entries(message.application_properties ?? {})) {
    const short = systemProperties.get(name)
    if (short === undefined) application.push([name, textOf(value) ?? ''])
    else entries.push([short, textOf(value)])
  }
  return { system: new Map(entries.filter((entry): entry is [string, string] => entry[1] !== undefined)), application }
}

/** A message from the cloud, or from a route to a module's input. */
export function messageToClient({ input, bag, body }: MessageToClient): Message {
  const { system, application } = bag
  const expiry = Date.parse(system.get('exp') ?? '')
  const annotations: [string, unknown][] = input === undefined ? [] : [[inputAnnotation, input]]
  for (const [short, name] of [
    ['cdid', 'iothub-connection-device-id'],
    ['cmid', 'iothub-connection-module-id'],
  ] as const) {
    const value = system.get(short)
    if (value !== undefined) annotations.push([name, value])
  }
  return {
    ...present('message_id', system.get('mid')),
    ...present('correlation_id', system.get('cid')),
    // Bytes on the wire, whatever the typings say.
    ...present('user_id', system.has('uid') ? (Buffer.from(system.get('uid')!) as unknown as string) : undefined),
    ...present('to', system.get('to')),
    ...present('content_type', system.get('ct')),
    ...present('content_encoding', system.get('ce')),
    ...present('absolute_expiry_time', Number.isNaN(expiry) ? undefined : new Date(expiry)),
    ...present('message_annotations', annotations.length === 0 ? undefined : Object.fromEntries(annotations)),
    ...present('application_properties', application.length === 0 ? undefined : Object.fromEntries(application)),
    body: rhea.message.data_section(body),
  }
}

/** A tag of a delivery, which some clients take for a lock token: the bytes of a GUID. */
export function newDeliveryTag(): Buffer {
  return randomBytes(16)
}

export function methodRequest(name: string, requestId: string, payload: Buffer): Message {
  return { correlation_id: callId(requestId)!, application_properties: { [methodName]: name }, body: rhea.message.data_section(payload) }
}

/** @returns undefined when it does not say which call it answers */
export function methodAnswer(message: Message): { requestId: string; status: number; body: Buffer } | undefined {
  const requestId = textOf(message.correlation_id)
  const status = Number(message.application_properties?.[methodStatus])
  return requestId === undefined || !Number.isInteger(status) ? undefined : { requestId, status, body: bodyOf(message) }
}

export type TwinRequest = 'get' | 'patch-reported' | 'follow-desired' | 'unfollow-desired'

const desiredResource = '/notifications/twin/properties/desired'

/** What a device asks of its twin, by the operation and the resource it annotates; undefined for anything else. */
export function twinRequest({ message_annotations: annotations }: Message): TwinRequest | undefined {
  const operation = textOf(annotations?.operation)
  const resource = textOf(annotations?.resource) ?? ''
  if (operation === 'GET') return 'get'
  if (operation === 'PATCH' && resource === '/properties/reported') return 'patch-reported'
  if (resource !== desiredResource) return undefined
  return operation === 'PUT' ? 'follow-desired' : operation === 'DELETE' ? 'unfollow-desired' : undefined
}

export function twinAnswer(request: Message, { status, body, version }: TwinResponse): Message {
  return {
    ...present('correlation_id', sameId(request.correlation_id)),
    message_annotations: {
      status: rhea.types.wrap_int(status),
      ...present('version', version === undefined ? undefined : rhea.types.wrap_long(version)),
    },
    body: body === '' ? null : rhea.message.data_section(Buffer.from(body)),
  }
}

/** Without a correlation id: that is how a client tells it from an answer. */
export function desiredChange(version: number, patch: Buffer): Message {
  return {
    message_annotations: { resource: desiredResource, version: rhea.types.wrap_long(version) },
    body: rhea.message.data_section(patch),
  }
}

/** The id of a call is a UUID, and some clients take it as nothing else. */
function callId(requestId: string): Message['correlation_id'] {
  const isUuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(requestId)
  return isUuid ? sameId(rhea.string_to_uuid(requestId)) : requestId
}

function present<K extends keyof Message | 'version', V>(name: K, value: V | undefined): { [key in K]?: V } {
  return (value === undefined ? {} : { [name]: value }) as { [key in K]?: V }
}
