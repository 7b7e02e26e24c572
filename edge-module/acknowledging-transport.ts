/**
 * The SDK's MQTT transport acknowledges an input message when it arrives; what the module then loses is lost. This
 * transport sends the PUBACK when the application calls `client.complete(message)`, as the AMQP transport does. It uses
 * two seams that the SDK offers: the MQTT provider that `MqttBase` takes, and the base that `Mqtt` takes.
 */
import type { AuthenticationProvider, Message, results } from 'azure-iot-common'
import iotMqtt from 'azure-iot-device-mqtt'
import { MqttBase } from 'azure-iot-mqtt-base'
import mqtt from 'mqtt'
import type { IClientOptions, MqttClient } from 'mqtt'

const inputTopic = /^devices\/[^/]+\/modules\/[^/]+\/inputs\//

/** PUBACKs that wait for the application, in the order of arrival. */
type Waiting = (() => void)[]

function holdingProvider(waiting: Waiting) {
  return {
    connect(url: string, options: IClientOptions): MqttClient {
      // What a lost connection left unacknowledged comes again on the new one.
      waiting.length = 0
      const client = mqtt.connect(url, options)
      client.handleMessage = (packet, done) => {
        if (packet.qos === 1 && inputTopic.test(packet.topic)) waiting.push(() => done())
        else done()
      }
      return client
    },
  }
}

export class AcknowledgingMqtt extends iotMqtt.Mqtt {
  readonly #waiting: Waiting

  constructor(authenticationProvider: AuthenticationProvider) {
    const waiting: Waiting = []
    super(authenticationProvider, new MqttBase(holdingProvider(waiting)))
    this.#waiting = waiting
  }

  /** Acknowledges the oldest message not yet acknowledged: input messages are completed in the order they come. */
  override complete(_message: Message, done?: (error?: Error, result?: results.MessageCompleted) => void): void {
    this.#waiting.shift()?.()
    done?.()
  }
}
