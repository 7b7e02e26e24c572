/**
 * The SDK's MQTT transport acknowledges an input message when it arrives; what the module then loses is lost. This
 * transport sends the PUBACK when the application calls `client.complete(message)`, as the AMQP transport does, and takes
 * further messages meanwhile, so that many share one write to the disk. It uses two seams that the SDK offers: the MQTT
 * provider that `MqttBase` takes, and the base that `Mqtt` takes.
 */
import type { AuthenticationProvider, Message, results } from 'azure-iot-common'
import iotMqtt from 'azure-iot-device-mqtt'
import { MqttBase } from 'azure-iot-mqtt-base'
import mqtt from 'mqtt'
import type { IClientOptions, MqttClient } from 'mqtt'

const inputTopic = /^devices\/[^/]+\/modules\/[^/]+\/inputs\//

/** A message that was delivered on a connection and waits for its PUBACK. */
type Delivery = { readonly stream: MqttClient['stream']; readonly messageId: number }

function holdingProvider(onDelivery: (delivery: Delivery | undefined) => void) {
  return {
    connect(url: string, options: IClientOptions): MqttClient {
      const client = mqtt.connect(url, options)
      client.on('packetreceive', (packet) => {
        const isHeld = packet.cmd === 'publish' && packet.qos === 1 && inputTopic.test(packet.topic)
        onDelivery(isHeld && packet.messageId !== undefined ? { stream: client.stream, messageId: packet.messageId } : undefined)
        // Without this the client would acknowledge by itself, and read on only then.
        if (isHeld) packet.qos = 0
      })
      return client
    },
  }
}

export class AcknowledgingMqtt extends iotMqtt.Mqtt {
  readonly #deliveries = new WeakMap<Message, Delivery>()
  readonly #acknowledgements: (Delivery & { readonly bytes: Buffer })[] = []

  constructor(authenticationProvider: AuthenticationProvider) {
    let arriving: Delivery | undefined
    super(authenticationProvider, new MqttBase(holdingProvider((delivery) => (arriving = delivery))))
    // Told in the same turn in which the packet came, before the client's own listeners.
    this.on('inputMessage', (_input: string, message: Message) => {
      if (arriving) this.#deliveries.set(message, arriving)
    })
  }

  /** On a connection that is gone nothing is acknowledged: the message comes again, and is known. */
  override complete(message: Message, done?: (error?: Error, result?: results.MessageCompleted) => void): void {
    const delivery = this.#deliveries.get(message)
    this.#deliveries.delete(message)
    if (delivery) {
      // PUBACK [MQTT-3.4]
      if (this.#acknowledgements.push({ ...delivery, bytes: Buffer.of(0x40, 2, delivery.messageId >> 8, delivery.messageId & 0xff) }) === 1)
        process.nextTick(() => this.#sendAcknowledgements())
    }
    done?.()
  }

  /** What is completed in one turn is acknowledged by one write. */
  #sendAcknowledgements(): void {
    const waiting = this.#acknowledgements.splice(0)
    const stream = waiting.at(-1)?.stream
    if (stream?.writable) stream.write(Buffer.concat(waiting.filter((one) => one.stream === stream).map(({ bytes }) => bytes)))
  }
}
