/**
 * A device on IoT Hub's documented MQTT topics, by the `mqtt` package: connects by token, publishes at QoS 1, keeps what
 * is not acknowledged and sends it again after a reconnect, in order.
 */
import mqtt from 'mqtt'
import type { MqttClient } from 'mqtt'
import type { DeviceCredentials } from './device-credentials.ts'
import { sharedAccessSignature } from './device-credentials.ts'
import { TelemetryStamp } from './telemetry-stamp.ts'
import type { Sample } from './telemetry-stamp.ts'

const apiVersion = '2021-04-12'
const tokenMs = 3_600_000
const limits = {
  /** The pause before a new attempt doubles up to this; half of it is chance, so that a fleet does not come back all at once. */
  reconnectMsMin: 1_000,
  reconnectMsMax: 60_000,
  /** Messages under way; more wait as samples. */
  inFlight: 16,
  /** Samples that wait for their turn: the oldest give way. */
  waiting: 3_600,
  samplesPerMessage: 100,
} as const

/** Counts are readings. Dropped ones never got a seq: they were not published. */
export type PublishCounts = { published: number; acknowledged: number; dropped: number; messages: number; errors: number }

export class MqttDevice {
  readonly counts: PublishCounts = { published: 0, acknowledged: 0, dropped: 0, messages: 0, errors: 0 }
  readonly #client: MqttClient
  readonly #stamp: TelemetryStamp
  readonly #deviceId: string
  readonly #waiting: Sample[] = []
  readonly #idle: (() => void)[] = []
  #inFlight = 0
  #reconnectMs: number = limits.reconnectMsMin
  #isOffline = false
  #isDuplicating = false

  /** @param onError connection errors; the device goes on trying */
  constructor(credentials: DeviceCredentials, modelId: string, onError: (error: Error) => void) {
    const { hubHost, gatewayHost, deviceId, key, ca } = credentials
    this.#deviceId = deviceId
    this.#stamp = new TelemetryStamp(modelId)
    const [host = 'localhost', port = '8883'] = (gatewayHost ?? hubHost).split(':')
    const password = () => sharedAccessSignature(`${hubHost}/devices/${deviceId}`, key, Date.now() + tokenMs)
    const model = modelId === '' ? '' : `&model-id=${encodeURIComponent(modelId)}`
    this.#client = mqtt.connect({
      protocol: 'mqtts',
      host,
      port: Number(port),
      protocolVersion: 4,
      clean: false,
      clientId: deviceId,
      username: `${hubHost}/${deviceId}/?api-version=${apiVersion}${model}`,
      password: password(),
      keepalive: 240,
      reconnectPeriod: this.#nextPauseMs(),
      ...(ca === undefined ? {} : { ca }),
    })
    this.#client.on('reconnect', () => (this.#client.options.password = password()))
    this.#client.on('connect', () => {
      this.#reconnectMs = limits.reconnectMsMin
      this.#pump()
    })
    this.#client.on('close', () => {
      this.#client.options.reconnectPeriod = this.#nextPauseMs()
      this.#reconnectMs = Math.min(limits.reconnectMsMax, this.#reconnectMs * 2)
    })
    this.#client.on('error', (error) => {
      this.counts.errors++
      onError(new Error(`device '${deviceId}' cannot connect to ${host}:${port}: ${error.message}`, { cause: error }))
    })
  }

  #nextPauseMs(): number {
    return Math.round(this.#reconnectMs * (0.5 + Math.random()))
  }

  /** Cuts the connection, as a network does, or lets it come back. */
  setOnline(isOnline: boolean): void {
    if (isOnline !== this.#isOffline) return
    this.#isOffline = !isOnline
    if (isOnline) this.#client.reconnect()
    else {
      // Not a word to the hub, which notices as it would notice a pulled cable.
      this.#client.stream.destroy()
      this.#client.options.reconnectPeriod = 0
    }
  }

  get isConnected(): boolean {
    return this.#client.connected
  }

  get unacknowledged(): number {
    return this.counts.published - this.counts.acknowledged
  }

  /**
   * Takes a sample; it is sent as soon as the connection and the window allow.
   * @param isDuplicated the message goes out twice, as from a program that repeats itself
   */
  send(sample: Sample, isDuplicated = false): void {
    this.#isDuplicating = isDuplicated
    this.#waiting.push(sample)
    if (this.#waiting.length > limits.waiting) {
      const dropped = this.#waiting.shift()!
      this.counts.dropped += Object.keys(dropped.values).length
    }
    this.#pump()
  }

  /** True while more samples would only wait: a replay slows down then. */
  get isBusy(): boolean {
    return this.#waiting.length >= limits.samplesPerMessage
  }

  #pump(): void {
    while (this.#client.connected && this.#waiting.length > 0 && this.#inFlight < limits.inFlight) {
      const { body, readings, properties } = this.#stamp.message(this.#waiting.splice(0, limits.samplesPerMessage))
      const bag = Object.entries({ '$.ct': 'application/json', '$.ce': 'utf-8', ...properties }).map(
        ([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`,
      )
      this.counts.published += readings
      this.counts.messages++
      this.#inFlight++
      const topic = `devices/${this.#deviceId}/messages/events/${bag.join('&')}`
      if (this.#isDuplicating) this.#client.publish(topic, body, { qos: 1 }, () => {})
      this.#client.publish(topic, body, { qos: 1 }, (error) => {
        this.#inFlight--
        if (error) this.counts.errors++
        else this.counts.acknowledged += readings
        this.#pump()
        if (this.#inFlight === 0 && this.#waiting.length === 0) for (const resolve of this.#idle.splice(0)) resolve()
      })
    }
  }

  /** Resolves when everything taken so far is acknowledged. */
  drained(): Promise<void> {
    if (this.#inFlight === 0 && this.#waiting.length === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  /** @param force without waiting for acknowledgements */
  async close({ force }: { force: boolean }): Promise<void> {
    await this.#client.endAsync(force)
  }
}
