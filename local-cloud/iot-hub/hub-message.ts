/** A message on its way from a device, or from the hub itself, to the endpoints that routes choose. */
import { DeviceMessageTemplate } from '../amqp/message-sections.ts'
import type { DeviceMessage, LogPosition } from '../amqp/message-sections.ts'
import type { LogEntry } from '../log/commit-log.ts'
import type { RoutableMessage } from '../routing/message-condition.ts'

/** What a message is about, as routes name it. */
export type MessageSource = 'Telemetry' | 'twinChangeEvents' | 'deviceLifecycleEvents' | 'deviceConnectionStateEvents'

/** Where messages go. Resolves when they are durable. */
export type MessageSink = (message: HubMessage) => Promise<void>

/** A template and a body; encoded where it will lie, and only when it is known where. */
export class HubMessage implements LogEntry {
  readonly source: MessageSource
  readonly body: Uint8Array
  readonly #template: DeviceMessageTemplate
  readonly #twin: () => unknown

  /** @param twin of the sender, for routes that ask */
  constructor(source: MessageSource, template: DeviceMessageTemplate, body: Uint8Array, twin: () => unknown) {
    this.source = source
    this.#template = template
    this.body = body
    this.#twin = twin
  }

  get deviceId(): string {
    return this.#template.fields.deviceId
  }

  byteLength(position: LogPosition): number {
    return this.#template.byteLength(this.body, position)
  }

  writeTo(target: Buffer, at: number, position: LogPosition): void {
    this.#template.write(this.body, position, target, at)
  }

  /** As routes see it. */
  routable(): RoutableMessage {
    return routableOf(this.#template.fields, this.body, this.#twin)
  }
}

function routableOf(fields: DeviceMessage, body: Uint8Array, twin: () => unknown): RoutableMessage {
  return {
    application: Object.fromEntries(fields.properties),
    system: {
      connectionDeviceId: fields.deviceId,
      connectionModuleId: fields.moduleId,
      messageSource: fields.source,
      contentType: fields.contentType,
      contentEncoding: fields.contentEncoding,
      messageId: fields.messageId,
      correlationId: fields.correlationId,
      userId: fields.userId,
      'dt-dataschema': fields.dataSchema,
      'dt-subject': fields.subject,
    },
    body,
    twin,
  }
}

/** What the hub says of its own: a twin changed, a device came or went. */
export function notification(
  source: Exclude<MessageSource, 'Telemetry'>,
  about: { readonly deviceId: string; readonly moduleId?: string | undefined; readonly hubName: string; readonly nowMs: number },
  content: { readonly schema: string; readonly opType: string; readonly body: unknown },
): HubMessage {
  const { deviceId, moduleId, hubName, nowMs } = about
  const fields: DeviceMessage = {
    deviceId,
    moduleId,
    source,
    authMethod: JSON.stringify({ scope: 'hub', type: 'sas', issuer: 'iothub', acceptingIpFilterRule: null }),
    generationId: '',
    dataSchema: undefined,
    subject: undefined,
    interfaceId: undefined,
    creationTimeUtc: undefined,
    messageId: undefined,
    correlationId: undefined,
    userId: undefined,
    to: undefined,
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    properties: [
      ['hubName', hubName],
      ['deviceId', deviceId],
      ...(moduleId === undefined ? [] : [['moduleId', moduleId] as const]),
      ['operationTimestamp', new Date(nowMs).toISOString()],
      ['iothub-message-schema', content.schema],
      ['opType', content.opType],
    ],
  }
  const body = Buffer.from(JSON.stringify(content.body))
  return new HubMessage(source, new DeviceMessageTemplate(fields), body, () => undefined)
}
