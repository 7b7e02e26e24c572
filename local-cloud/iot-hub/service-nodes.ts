/**
 * IoT Hub's service side over AMQP: sending to devices, reading feedback and file notifications. Who asks for the
 * device-to-cloud stream at the hub is sent on to the built-in event hub.
 */
import rhea from 'rhea'
import type { Message, Sender } from 'rhea'
import { failure, pathOf } from '../amqp/amqp-node.ts'
import type { AmqpFailure, AmqpNode } from '../amqp/amqp-node.ts'
import type { AmqpPeer } from '../amqp/amqp-peer.ts'
import { bodyOf, decoded, textOf } from '../amqp/message-values.ts'
import { OutgoingLink } from '../amqp/outgoing-link.ts'
import { cloudToDeviceLimits, DeviceQueueFullError } from './cloud-to-device.ts'
import type { CloudToDevice, CloudToDeviceMessage } from './cloud-to-device.ts'
import type { IotHub } from './iot-hub.ts'
import type { ServiceQueue } from './service-queue.ts'

export type ServiceNodesOptions = {
  readonly hub: IotHub
  readonly cloudToDevice: CloudToDevice
  readonly feedback: ServiceQueue
  readonly fileNotifications: ServiceQueue
  /** Where the built-in event hub is: host, port, name. */
  readonly builtIn: () => { readonly host: string; readonly port: number; readonly name: string }
  readonly nowMs: () => number
}

export class ServiceNodes {
  readonly #options: ServiceNodesOptions

  constructor(options: ServiceNodesOptions) {
    this.#options = options
  }

  /** @returns undefined when the address is none of the hub's */
  find(address: string, { claims }: AmqpPeer): AmqpNode | AmqpFailure | undefined {
    const path = pathOf(address).toLowerCase()
    if (!path.startsWith('messages/')) return undefined
    if (!claims.cover('iot-hub', path, 'service'))
      return failure.unauthorized(`Unauthorized access. A token with the right 'ServiceConnect' is required for '${path}'.`)
    if (path === 'messages/devicebound') return this.#deviceBound()
    if (path === 'messages/servicebound/feedback')
      return this.#queue(this.#options.feedback, 'application/vnd.microsoft.iothub.feedback.json')
    if (path === 'messages/servicebound/filenotifications')
      return this.#queue(this.#options.fileNotifications, 'application/vnd.microsoft.iothub.filenotification.json')
    if (path.startsWith('messages/events')) return this.#redirect(pathOf(address))
    return failure.notFound(path)
  }

  #queue(queue: ServiceQueue, contentType: string): AmqpNode {
    return queueNode(queue, contentType, (reason, detail) => this.#options.hub.refused(reason, detail))
  }

  #deviceBound(): AmqpNode {
    return {
      openToPeer: () => failure.notAllowed('messages/devicebound is for sending'),
      openFromPeer: () => ({ messageBytesMax: 2 * cloudToDeviceLimits.bodyBytesMax }),
      receive: (_, message, delivery) => {
        this.#send(decoded(message)).then(
          (reason) => (reason ? delivery.reject(reason) : delivery.accept()),
          (error: unknown) => delivery.reject({ condition: 'amqp:internal-error', description: String(error) }),
        )
      },
    }
  }

  async #send(message: Message): Promise<AmqpFailure | undefined> {
    const { hub, cloudToDevice, nowMs } = this.#options
    const to = /^\/?devices\/([^/]+)(?:\/modules\/([^/]+))?\/messages\/devicebound$/i.exec(message.to ?? '')
    if (!to) return { condition: 'amqp:invalid-field', description: `'${message.to ?? ''}' is not /devices/{id}/messages/devicebound` }
    const deviceId = decodeURIComponent(to[1]!)
    const identity = hub.registry.get(deviceId)
    if (!identity) return { condition: 'amqp:not-found', description: `Device '${deviceId}' is not registered` }
    const body = bodyOf(message)
    if (body.length > cloudToDeviceLimits.bodyBytesMax) return failure.tooLarge(body.length, cloudToDeviceLimits.bodyBytesMax)
    const enqueuedMs = nowMs()
    const expiry = message.absolute_expiry_time === undefined ? undefined : Number(message.absolute_expiry_time)
    const ack = String(message.application_properties?.['iothub-ack'] ?? 'none').toLowerCase()
    if (!/^(none|positive|negative|full)$/.test(ack))
      return { condition: 'amqp:invalid-field', description: `iothub-ack '${ack}' is not known` }
    try {
      await cloudToDevice.enqueue({
        deviceId,
        generationId: identity.generationId,
        enqueuedMs,
        expiresMs: Math.min(expiry || enqueuedMs + cloudToDeviceLimits.timeToLiveMs, enqueuedMs + cloudToDeviceLimits.timeToLiveMaxMs),
        deliveryCount: 0,
        ack: ack as CloudToDeviceMessage['ack'],
        system: systemOf(message, deviceId, expiry),
        application: Object.entries(message.application_properties ?? {}).map(([name, value]) => [name, String(value)]),
        body: body.toString('base64'),
      })
    } catch (error) {
      if (error instanceof DeviceQueueFullError)
        return { condition: 'amqp:resource-limit-exceeded', description: `403004 DeviceMaximumQueueDepthExceeded: ${error.message}` }
      throw error
    }
    hub.deliverPending(deviceId)
    return undefined
  }

  #redirect(path: string): AmqpNode {
    const { host, port, name } = this.#options.builtIn()
    const rest = path.slice('messages/events'.length)
    const redirect: AmqpFailure = {
      condition: 'amqp:link:redirect',
      description: `the device-to-cloud stream is the event hub '${name}'`,
      info: { hostname: host, 'network-host': host, port: rhea.types.wrap_uint(port), address: `amqps://${host}:${port}/${name}${rest}` },
    }
    return { openToPeer: () => redirect, openFromPeer: () => failure.notAllowed('messages/events is for reading'), receive: () => {} }
  }
}

/** A queue whose records go out as one JSON array a message, and are gone when the reader accepts. */
function queueNode(queue: ServiceQueue, contentType: string, refused: IotHub['refused']): AmqpNode {
  return {
    openFromPeer: () => failure.notAllowed('this is for reading'),
    receive: () => {},
    openToPeer(link: Sender) {
      const outgoing = new OutgoingLink(link, () => unsubscribe())
      const pump = () => {
        while (outgoing.canSend) {
          const group = queue.take()
          if (!group) return
          const body = rhea.message.data_section(Buffer.from(JSON.stringify(group.records)))
          outgoing
            .send({ body, content_type: contentType, creation_time: new Date() })
            .then(
              (settlement) => (settlement === 'abandon' ? group.abandon() : group.complete()),
              () => group.abandon(),
            )
            .catch((error: unknown) => refused('not-stored', String(error)))
        }
      }
      const unsubscribe = queue.subscribe(pump)
      link.on('sendable', pump)
      pump()
      return undefined
    },
  }
}

/** System properties of a message to a device, by their short names in a topic. */
function systemOf(message: Message, deviceId: string, expiry: number | undefined): [string, string][] {
  const entries: [string, string | undefined][] = [
    ['mid', textOf(message.message_id)],
    ['to', `/devices/${deviceId}/messages/devicebound`],
    ['cid', textOf(message.correlation_id)],
    ['uid', textOf(message.user_id)],
    ['exp', expiry ? new Date(expiry).toISOString() : undefined],
    ['ct', textOf(message.content_type)],
    ['ce', textOf(message.content_encoding)],
  ]
  return entries.filter((entry): entry is [string, string] => entry[1] !== undefined)
}
