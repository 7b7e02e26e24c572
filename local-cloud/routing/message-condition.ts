/**
 * Conditions of routes, of the hub and of edgeHub: application properties by name, system properties behind `$`, and,
 * when the body says that it is JSON text, `$body.…`; the hub also knows `$twin.…` of the sender.
 */
import { lookUp, parseCondition } from '../query/expression.ts'
import type { Path } from '../query/expression.ts'

export type RoutableMessage = {
  /** By the names of the routing documentation: connectionDeviceId, contentType, … */
  readonly system: Readonly<Record<string, string | undefined>>
  readonly application: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  readonly twin?: () => unknown
}

export type MessageCondition = (message: RoutableMessage) => boolean

/** @throws QuerySyntaxError */
export function parseMessageCondition(text: string): MessageCondition {
  const condition = parseCondition(text, 'message')
  return (message) => {
    let body: { json: unknown } | undefined
    return condition((path) => {
      const [head, ...rest] = path
      const name = String(head)
      if (!name.startsWith('$')) return ownText(message.application, path.join('.'))
      const systemName = name.slice(1).toLowerCase()
      if (systemName === 'body') return lookUp((body ??= { json: jsonBody(message) }).json, rest)
      if (systemName === 'twin') return lookUp(message.twin?.(), rest)
      return ownSystem(message.system, systemName, rest)
    })
  }
}

function ownText(properties: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(properties, name) ? properties[name] : undefined
}

function ownSystem(system: RoutableMessage['system'], name: string, rest: Path): string | undefined {
  if (rest.length > 0) return undefined
  // The documentation writes some of them in two ways.
  const wanted = aliases[name] ?? name
  return Object.entries(system).find(([key]) => key.toLowerCase() === wanted)?.[1]
}

const aliases: Readonly<Record<string, string | undefined>> = {
  'iothub-connection-device-id': 'connectiondeviceid',
  'iothub-connection-module-id': 'connectionmoduleid',
  'iothub-message-source': 'messagesource',
  'iothub-enqueuedtime': 'enqueuedtime',
  'content-type': 'contenttype',
  'content-encoding': 'contentencoding',
}

/** Routes look into a body only when its properties say how to read it. */
function jsonBody({ system, body }: RoutableMessage): unknown {
  if (!body || !/^application\/json\b/i.test(system.contentType ?? '')) return undefined
  const encoding = { 'utf-8': 'utf-8', 'utf-16': 'utf-16le', '': undefined }[(system.contentEncoding ?? '').toLowerCase()]
  if (encoding === undefined) return undefined
  try {
    return JSON.parse(new TextDecoder(encoding).decode(body))
  } catch {
    return undefined
  }
}
